//! The server of the runtime API: sockets, connections, take-over and stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::config::{Global, Level, StatsSocket};

use super::Context;
use super::command::Session;
use super::connection::Connection;
use super::listener::{BindError, Listener};
use super::mode::Mode;
use super::places::{Places, RuntimeUsage};
use super::reply::CHUNK_BYTES;

/// How long connections may go on with their answers after the stop.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// Pause after the system refused a connection, most likely for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Pause between two lines of the log about that.
const REPORT_PAUSE: Duration = Duration::from_secs(60);

/// What to listen on and what to bound.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The sockets.
    pub sockets: Vec<StatsSocket>,
    /// Time after which an idle connection is closed.
    pub timeout: Duration,
    /// Most connections served at a time over all sockets; further ones wait, one of each socket accepted, until one ends or
    /// its client has made the server wait too long.
    pub max_connections: usize,
    /// Counts of connections.
    pub usage: Arc<RuntimeUsage>,
    /// Most bytes of a command line.
    pub max_line: usize,
    /// Processes that may be listening at the same addresses, as they hand over to this one.
    pub predecessors: Vec<i32>,
}

impl From<&Global> for ServerOptions {
    fn from(global: &Global) -> Self {
        Self {
            sockets: global.stats_sockets.clone(),
            timeout: Duration::from_millis(global.stats_timeout.into()),
            max_connections: global.stats_max_connections as usize,
            usage: Arc::default(),
            max_line: global.bufsize as usize,
            predecessors: Vec::new(),
        }
    }
}

/// Most bytes that clients of the runtime API take together: for each connection a line that comes, with what came after it,
/// and a piece of the answer.
pub(crate) const fn most_bytes(global: &Global) -> u64 {
    let line = 2 * (global.bufsize as u64 + 4096);
    let answer = 3 * CHUNK_BYTES as u64;
    global.stats_max_connections as u64 * (line + answer)
}

/// The sockets of the runtime API, bound.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<Listener>,
    options: ServerOptions,
}

impl Server {
    /// Binds every socket, without disturbing a process that serves them now: Unix sockets get a passing name until
    /// [`run`](Self::run) or [`publish`](Self::publish).
    ///
    /// # Errors
    /// When a socket cannot be bound; those bound before are closed and removed.
    pub async fn bind(options: ServerOptions) -> Result<Self, BindError> {
        let mut listeners = Vec::new();
        for socket in &options.sockets {
            listeners.extend(Listener::bind(socket, &options.predecessors).await?);
        }
        Ok(Self { listeners, options })
    }

    /// Puts the Unix sockets at their paths: from now on clients reach this process.
    ///
    /// # Errors
    /// When a path cannot be replaced.
    pub fn publish(&mut self) -> Result<(), BindError> {
        self.listeners.iter_mut().try_for_each(Listener::publish)
    }

    /// The addresses of the TCP sockets, in the order of the options.
    pub fn tcp_addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(Listener::local_addr).collect()
    }

    /// Serves until `shutdown` completes. Then the sockets are closed, paths that are still ours are removed, idle
    /// connections are closed, and answers that are under way get 2 s more.
    ///
    /// # Errors
    /// When a socket cannot be put at its path; nothing was served then.
    pub async fn run(
        mut self,
        context: Arc<dyn Context>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), BindError> {
        self.publish()?;
        let (stop, stopped) = watch::channel(false);
        let sockets = self.listeners.iter().map(|listener| (listener.address.clone(), listener.level));
        let server = Arc::new(Shared {
            sockets: sockets.collect(),
            places: Arc::new(Places::new(self.options.max_connections, Arc::clone(&self.options.usage))),
            options: self.options,
            context,
            stopped,
        });
        let mut accepting = JoinSet::new();
        for listener in self.listeners {
            accepting.spawn(Arc::clone(&server).accept(listener));
        }
        shutdown.await;
        let _ = stop.send(true);
        let all = async { while accepting.join_next().await.is_some() {} };
        let _ = timeout(STOP_GRACE, all).await;
        Ok(())
    }
}

/// What acceptors share.
struct Shared {
    options: ServerOptions,
    sockets: Arc<[(String, Level)]>,
    places: Arc<Places>,
    context: Arc<dyn Context>,
    stopped: watch::Receiver<bool>,
}

impl Shared {
    /// Accepts connections until the stop, then waits for them to end. Dropping the future ends them.
    async fn accept(self: Arc<Self>, listener: Listener) {
        let mut connections = JoinSet::new();
        let mut stopped = self.stopped.clone();
        let mut reported: Option<Instant> = None;
        loop {
            while connections.try_join_next().is_some() {}
            let stream = tokio::select! {
                stream = listener.accept() => stream,
                _ = stopped.changed() => break,
            };
            let stream = match stream {
                Ok(stream) => stream,
                Err(error) => {
                    if reported.is_none_or(|at| at.elapsed() >= REPORT_PAUSE) {
                        tracing::warn!(address = listener.address, %error, "runtime connection not accepted");
                        reported = Some(Instant::now());
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // Taken after the connection: a place must not wait on a quiet socket while another is in need of it.
            let place = tokio::select! {
                place = self.places.take() => place,
                _ = stopped.changed() => break,
            };
            let Some(place) = place else { break };
            let session = Session {
                level: listener.level,
                mode: Mode::with_severity(listener.severity),
                timeout: self.options.timeout,
                sockets: Arc::clone(&self.sockets),
            };
            let context = Arc::clone(&self.context);
            let connection =
                Connection::new(stream, context, session, place, self.options.max_line, self.stopped.clone());
            connections.spawn(async move {
                // A client that is gone is no news.
                let _ = connection.serve().await;
            });
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Node;
    use super::*;
    use crate::config::{Owner, SeverityOutput, Span, WildcardFamilies, address::Address};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::path::{Path, PathBuf};
    use stick_table::{KeyType, Lifetime, Origin, Table, TableDefinition};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpStream, UnixStream};
    use tokio::sync::oneshot;
    use tokio::task::JoinHandle;

    /// Nothing here takes so long.
    const DEADLINE: Duration = Duration::from_secs(20);

    fn socket(address: Address, level: Level) -> StatsSocket {
        StatsSocket {
            address,
            families: WildcardFamilies::default(),
            mode: None,
            user: None,
            group: None,
            level,
            severity: SeverityOutput::default(),
            span: Span::new(0, 0, 0),
        }
    }

    fn options(sockets: Vec<StatsSocket>) -> ServerOptions {
        ServerOptions {
            sockets,
            timeout: Duration::from_secs(10),
            max_connections: 10,
            usage: Arc::default(),
            max_line: 16384,
            predecessors: Vec::new(),
        }
    }

    struct Running {
        stop: oneshot::Sender<()>,
        task: JoinHandle<Result<(), BindError>>,
    }

    impl Running {
        async fn stop(self) {
            let _ = self.stop.send(());
            timeout(DEADLINE, self.task).await.unwrap().unwrap().unwrap();
        }
    }

    async fn start(options: ServerOptions, context: Arc<dyn Context>) -> (Running, Vec<SocketAddr>) {
        let mut server = Server::bind(options).await.unwrap();
        server.publish().unwrap();
        let addresses = server.tcp_addresses();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            let _ = stopped.await;
        };
        (Running { stop, task: tokio::spawn(server.run(context, shutdown)) }, addresses)
    }

    async fn start_unix(
        level: Level,
        change: impl FnOnce(&mut ServerOptions),
    ) -> (Running, PathBuf, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stickd.sock");
        let mut options = options(vec![socket(Address::Unix(path.clone()), level)]);
        change(&mut options);
        (start(options, Node::sample()).await.0, path, directory)
    }

    /// Sends `input` and reads until the server closes.
    async fn ask(path: &Path, input: &str) -> String {
        let mut stream = UnixStream::connect(path).await.unwrap();
        stream.write_all(input.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(DEADLINE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        answer
    }

    /// Reads until what was read ends with `end`.
    async fn read_to(stream: &mut UnixStream, end: &str) -> String {
        let mut answer = Vec::new();
        while !answer.ends_with(end.as_bytes()) {
            let mut buffer = [0; 1000];
            let count = timeout(DEADLINE, stream.read(&mut buffer)).await.unwrap().unwrap();
            assert_ne!(count, 0, "closed after {:?}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&buffer[..count]);
        }
        String::from_utf8(answer).unwrap()
    }

    /// HAProxy's `severity-output` of a socket is where each of its connections begins.
    #[tokio::test]
    async fn connections_begin_with_the_severity_output_of_their_socket() {
        for (severity, number) in [
            (SeverityOutput::None, "one of "),
            (SeverityOutput::Number, "[3]: one of "),
            (SeverityOutput::String, "[err]: one of "),
        ] {
            let change = |options: &mut ServerOptions| options.sockets[0].severity = severity;
            let (running, path, _directory) = start_unix(Level::Admin, change).await;
            let answer = ask(&path, "set severity-output x\n").await;
            assert!(answer.starts_with(number), "{severity:?}: {answer}");
            let answer = ask(&path, "set severity-output string;set severity-output x\n").await;
            assert!(answer.trim_start().starts_with("[err]: one of "), "{severity:?}: {answer}");
            running.stop().await;
        }
    }

    #[tokio::test]
    async fn one_line_of_commands_is_answered() {
        let (running, path, _directory) = start_unix(Level::Admin, |_| ()).await;
        for (input, answer) in [
            ("show version\n", "0.1.0-test\n\n"),
            ("show version\r\n", "0.1.0-test\n\n"),
            ("show version;show cli level\n", "0.1.0-test\n\nadmin\n\n"),
            ("show version;;show cli level;\n", "0.1.0-test\n\n\nadmin\n\n\n"),
            ("show version\nshow cli level\n", "0.1.0-test\n\n"),
            ("\nshow version\n", "\n"),
            ("show version;quit;show version\n", "0.1.0-test\n\n"),
            ("quit\n", ""),
            (
                "set table p/s key a\\;b;show table p/s key a\\;b\n",
                "\n# table: p/s, type: string, size:2, used:1\n0x100000000: key=a;b use=0 exp=0 shard=0 server_id=0 conn_cur=0 bytes_in_cnt=0 bytes_out_rate(1000)=0 server_key=-\n\n",
            ),
            (
                "show cli level;operator;show cli level;user;operator\n",
                "admin\n\n\noperator\n\n\nPermission denied\n\n",
            ),
            ("clear table p/s;show table p/s\n", "\n# table: p/s, type: string, size:2, used:0\n\n"),
        ] {
            assert_eq!(ask(&path, input).await, answer, "{input}");
        }
        running.stop().await;
    }

    #[tokio::test]
    async fn the_prompt_keeps_the_connection() {
        let (running, path, _directory) = start_unix(Level::Operator, |_| ()).await;
        let mut stream = UnixStream::connect(&path).await.unwrap();
        for (input, answer) in [
            ("prompt\n", "\n> "),
            ("show version\n", "0.1.0-test\n\n> "),
            ("show cli level;show version\n", "operator\n\n0.1.0-test\n\n> "),
            ("\n", "\n> "),
            ("show version\nshow cli level\n", "0.1.0-test\n\n> operator\n\n> "),
            ("user\n", "\n> "),
            ("show cli level\n", "user\n\n> "),
            ("prompt timed\n", "\n[0:00:01:01]> "),
            ("prompt i\n", "\n"),
            ("show version\n", "0.1.0-test\n\n"),
        ] {
            // In two pieces: a line is what ends with a line end, however it arrives.
            let (first, second) = input.split_at(input.len() / 2);
            stream.write_all(first.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
            stream.write_all(second.as_bytes()).await.unwrap();
            assert_eq!(read_to(&mut stream, answer).await, answer, "{input}");
        }
        stream.write_all(b"quit\n").await.unwrap();
        assert_eq!(timeout(DEADLINE, stream.read(&mut [0; 10])).await.unwrap().unwrap(), 0);
        running.stop().await;
    }

    #[tokio::test]
    async fn lines_and_idle_times_are_bounded() {
        let (running, path, _directory) = start_unix(Level::Admin, |options| {
            options.max_line = 100;
            options.timeout = Duration::from_millis(50);
        })
        .await;
        assert_eq!(ask(&path, "").await, "", "closed when idle");
        assert_eq!(ask(&path, "show version").await, "", "a line that is not ended is not run");
        let fits = format!("echo {}\n", "x".repeat(95));
        assert_eq!(ask(&path, &fits).await.len(), 97);
        for length in [96, 9_000] {
            let long = format!("echo {}\n", "x".repeat(length));
            assert!(ask(&path, &long).await.starts_with("The command line is too big"), "{length}");
        }
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(b"set timeout cli 1h;prompt\n").await.unwrap();
        read_to(&mut stream, "\n\n> ").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        stream.write_all(b"show version\n").await.unwrap();
        assert_eq!(read_to(&mut stream, "> ").await, "0.1.0-test\n\n> ");
        drop(stream);
        running.stop().await;
    }

    #[tokio::test]
    async fn sockets_have_their_own_levels_and_share_the_places() {
        let loopback = || Address::Ip("127.0.0.1:0".parse().unwrap());
        let mut options = options(vec![socket(loopback(), Level::User), socket(loopback(), Level::Operator)]);
        options.max_connections = 1;
        let (running, addresses) = start(options, Node::sample()).await;
        for (address, level) in addresses.iter().zip(["user", "operator"]) {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"show cli level;show cli sockets\nsurplus input\n").await.unwrap();
            let mut answer = String::new();
            timeout(DEADLINE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
            let (user, operator) = (addresses[0], addresses[1]);
            assert_eq!(
                answer,
                format!("{level}\n\n# socket lvl processes\n{user} user all\n{operator} operator all\n\n")
            );
        }
        let mut first = TcpStream::connect(addresses[0]).await.unwrap();
        first.write_all(b"prompt\n").await.unwrap();
        first.read_exact(&mut [0; 3]).await.unwrap();
        let mut second = TcpStream::connect(addresses[1]).await.unwrap();
        second.write_all(b"show version\n").await.unwrap();
        let early = timeout(Duration::from_millis(100), second.read(&mut [0; 1])).await;
        assert!(early.is_err(), "the only place is taken");
        drop(first);
        let mut answer = String::new();
        timeout(DEADLINE, second.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert_eq!(answer, "0.1.0-test\n\n");
        running.stop().await;
    }

    #[tokio::test]
    async fn a_slow_reader_gets_all_of_a_large_table() {
        const ENTRIES: u32 = 200_000;
        let table = Arc::new(Table::new(TableDefinition::new("big", KeyType::Integer, ENTRIES), 0).unwrap());
        for number in 0..ENTRIES {
            table.update(&number.to_be_bytes(), Origin::LOCAL, Lifetime::Restart, 0, |_| ()).unwrap();
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let options = options(vec![socket(Address::Unix(path.clone()), Level::Operator)]);
        let (running, _) = start(options, Node::new(vec![Arc::clone(&table)])).await;
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(b"show table big\n").await.unwrap();
        let mut lines = 0;
        let mut buffer = vec![0; 8192];
        for round in 0.. {
            let count = timeout(DEADLINE, stream.read(&mut buffer)).await.unwrap().unwrap();
            if count == 0 {
                break;
            }
            if round < 20 {
                // The reader pauses; the table stays open to others.
                tokio::time::sleep(Duration::from_millis(5)).await;
                table.update(&7u32.to_be_bytes(), Origin::LOCAL, Lifetime::Restart, 0, |_| ()).unwrap();
            }
            lines += buffer[..count].iter().filter(|&&byte| byte == b'\n').count();
        }
        assert_eq!(lines, ENTRIES as usize + 2);
        running.stop().await;
    }

    #[tokio::test]
    async fn a_new_server_takes_over_the_path() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stickd.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let sockets = |level| options(vec![socket(Address::Unix(path.clone()), level)]);
        let own = vec![std::process::id().cast_signed()];
        let shared = |level| ServerOptions { predecessors: own.clone(), ..sockets(level) };
        let (old, _) = start(sockets(Level::User), Node::sample()).await;
        assert_eq!(ask(&path, "show cli level\n").await, "user\n\n");

        let error = Server::bind(sockets(Level::Admin)).await.unwrap_err();
        assert!(error.to_string().contains("another process (pid "), "{error}");
        let failed = Server::bind(shared(Level::Admin)).await.unwrap();
        drop(failed);
        assert_eq!(ask(&path, "show cli level\n").await, "user\n\n", "the old one serves on");

        let (new, _) = start(shared(Level::Operator), Node::sample()).await;
        assert_eq!(ask(&path, "show cli level\n").await, "operator\n\n");
        old.stop().await;
        assert_eq!(ask(&path, "show cli level\n").await, "operator\n\n", "the path is not the old one's");
        new.stop().await;
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left behind");
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("precious");
        std::fs::write(&path, "text").unwrap();
        let error =
            Server::bind(options(vec![socket(Address::Unix(path.clone()), Level::User)])).await.unwrap_err();
        assert!(matches!(error, BindError::Obstacle(..)), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "text");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn mode_and_owner_are_applied() {
        let me = nix::unistd::Uid::effective().as_raw();
        let (running, path, _directory) = start_unix(Level::Admin, |options| {
            options.sockets[0].mode = Some(0o600);
            options.sockets[0].user = Some(Owner::Id(me));
        })
        .await;
        let metadata = std::fs::metadata(&path).unwrap();
        assert_eq!((metadata.permissions().mode() & 0o7777, metadata.uid()), (0o600, me));
        running.stop().await;

        let directory = tempfile::tempdir().unwrap();
        let mut socket = socket(Address::Unix(directory.path().join("s")), Level::Admin);
        socket.group = Some(Owner::Name("no such group".to_owned()));
        let error = Server::bind(options(vec![socket])).await.unwrap_err();
        let message = "there is no group \"no such group\": create it, or give its number as gid";
        assert_eq!(error.to_string(), message);
    }

    #[tokio::test]
    async fn the_stop_closes_idle_connections() {
        let (running, path, _directory) = start_unix(Level::Admin, |_| ()).await;
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(b"prompt\n").await.unwrap();
        read_to(&mut stream, "> ").await;
        running.stop().await;
        assert_eq!(timeout(DEADLINE, stream.read(&mut [0; 10])).await.unwrap().unwrap(), 0);
        assert!(!path.exists());
    }
}
