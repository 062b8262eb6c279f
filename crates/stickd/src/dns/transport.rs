//! One question to one name server.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::DnsError;
use super::message::{Reply, Unreadable};

/// Longest answer over UDP, in bytes: of a server that sends more than was asked for, the rest is cut off.
const MAX_DATAGRAM: usize = 4096;

/// Sends a question over UDP and waits for the answer to it: others may send something to the port.
pub(super) async fn udp(
    server: SocketAddr,
    question: &[u8],
    limit: Duration,
    decode: impl Fn(&[u8]) -> Result<Option<Reply>, Unreadable>,
) -> Result<Reply, DnsError> {
    let attempt = async {
        // A port of the system's choice for each question; connected, so that only this server is heard.
        let socket = UdpSocket::bind(any(server)).await?;
        socket.connect(server).await?;
        socket.send(question).await?;
        let mut answer = vec![0; MAX_DATAGRAM];
        loop {
            let length = socket.recv(&mut answer).await?;
            if let Some(reply) = decode(&answer[..length]).transpose() {
                return Ok(reply);
            }
        }
    };
    read(server, limit, attempt).await
}

/// The same over TCP.
pub(super) async fn tcp(
    server: SocketAddr,
    question: &[u8],
    limit: Duration,
    decode: impl Fn(&[u8]) -> Result<Option<Reply>, Unreadable>,
) -> Result<Reply, DnsError> {
    let attempt = async {
        let mut stream = TcpStream::connect(server).await?;
        let length = u16::try_from(question.len()).map_err(io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes(), question].concat()).await?;
        let length = stream.read_u16().await?;
        let mut answer = vec![0; length.into()];
        stream.read_exact(&mut answer).await?;
        let other = || Unreadable("it is for another question".into());
        Ok(decode(&answer).and_then(|reply| reply.ok_or_else(other)))
    };
    read(server, limit, attempt).await
}

fn any(server: SocketAddr) -> SocketAddr {
    match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

async fn read(
    server: SocketAddr,
    limit: Duration,
    attempt: impl Future<Output = io::Result<Result<Reply, Unreadable>>>,
) -> Result<Reply, DnsError> {
    match tokio::time::timeout(limit, attempt).await {
        Err(_) => Err(DnsError::Silent(server)),
        Ok(Err(error)) => Err(DnsError::Unreachable(server, error.to_string())),
        Ok(Ok(Err(Unreadable(why)))) => Err(DnsError::Malformed(server, why)),
        Ok(Ok(Ok(reply))) => Ok(reply),
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::Answer;
    use super::*;
    use std::time::Instant;

    const SOON: Duration = Duration::from_secs(30);
    const BRIEFLY: Duration = Duration::from_millis(200);

    /// `yes` is an answer, `bad` is none, and what else comes is for others.
    fn decode(bytes: &[u8]) -> Result<Option<Reply>, Unreadable> {
        match bytes {
            b"yes" => Ok(Some(Reply::Answer(Answer::default()))),
            b"bad" => Err(Unreadable("bad".into())),
            _ => Ok(None),
        }
    }

    fn is_answer(reply: &Result<Reply, DnsError>) -> bool {
        matches!(reply, Ok(Reply::Answer(_)))
    }

    #[tokio::test]
    async fn only_the_server_is_heard_over_udp_and_only_about_the_question() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let other = UdpSocket::bind("127.0.0.2:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let asked = tokio::spawn(async move { udp(address, b"question", SOON, decode).await });
        let (_, from) = server.recv_from(&mut [0; 100]).await.unwrap();
        // "bad" would end it, wherever it came from.
        other.send_to(b"bad", from).await.unwrap();
        server.send_to(b"of another question", from).await.unwrap();
        server.send_to(&[0; 60_000], from).await.unwrap();
        server.send_to(b"", from).await.unwrap();
        server.send_to(b"yes", from).await.unwrap();
        let reply = asked.await.unwrap();
        assert!(is_answer(&reply), "{reply:?}");
    }

    #[tokio::test]
    async fn who_says_nothing_or_rubbish_is_named() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        assert_eq!(udp(address, b"q", BRIEFLY, decode).await, Err(DnsError::Silent(address)));
        let asked = tokio::spawn(async move { udp(address, b"q", SOON, decode).await });
        // The first question is still there.
        server.recv_from(&mut [0; 100]).await.unwrap();
        let (_, from) = server.recv_from(&mut [0; 100]).await.unwrap();
        server.send_to(b"bad", from).await.unwrap();
        assert_eq!(asked.await.unwrap(), Err(DnsError::Malformed(address, "bad".into())));
    }

    /// What a server answers over TCP, and what is made of it.
    async fn over_tcp(answer: &'static [u8], limit: Duration) -> (Result<Reply, DnsError>, SocketAddr) {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let served = tokio::spawn(async move {
            let (mut stream, _) = server.accept().await.unwrap();
            let mut question = [0; 3];
            stream.read_exact(&mut question).await.unwrap();
            assert_eq!(question, [0, 1, b'q']);
            stream.write_all(answer).await.unwrap();
            stream
        });
        let asked = tokio::spawn(async move { tcp(address, b"q", limit, decode).await });
        // Stays open until the question is given up, unless there is nothing to say.
        let stream = served.await.unwrap();
        let stream = (!answer.is_empty()).then_some(stream);
        let reply = asked.await.unwrap();
        drop(stream);
        (reply, address)
    }

    #[tokio::test]
    async fn answers_over_tcp_have_their_length_before_them() {
        let (reply, _) = over_tcp(b"\0\x03yes and more", SOON).await;
        assert!(is_answer(&reply), "{reply:?}");
        for answer in [&b"\0\x05other"[..], b"\0\0"] {
            let (reply, address) = over_tcp(answer, SOON).await;
            let error = DnsError::Malformed(address, "it is for another question".into());
            assert_eq!(reply, Err(error), "{answer:?}");
        }
        let started = Instant::now();
        let (reply, address) = over_tcp(b"\xff\xffthe rest never comes", BRIEFLY).await;
        assert_eq!(reply, Err(DnsError::Silent(address)));
        assert!(started.elapsed() >= BRIEFLY);
        let (reply, address) = over_tcp(b"", SOON).await;
        assert!(matches!(&reply, Err(DnsError::Unreachable(at, _)) if *at == address), "{reply:?}");
    }
}
