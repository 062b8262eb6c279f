//! A peer that prints what a HAProxy knows: `print_updates -- 127.0.0.1:10000 NAME`, where the HAProxy's peers section has
//! `peer NAME 127.0.0.1:10000`. Nothing is stored; a real member uses `Section` and `Session`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use haproxy_peers::{Control, Decoder, HelloParser, HelloProgress, Message, Status};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(name)) = (arguments.next(), arguments.next()) else {
        return Err("usage: print_updates ADDRESS:PORT NAME".into());
    };
    for stream in TcpListener::bind(&address)?.incoming() {
        // HAProxy comes back by itself, so an error only ends this session.
        if let Err(error) = serve(stream?, &name) {
            eprintln!("session ended: {error}");
        }
    }
    Ok(())
}

fn serve(mut stream: TcpStream, name: &str) -> Result<(), Box<dyn std::error::Error>> {
    let (mut parser, mut decoder) = (HelloParser::new(16_384), Decoder::new());
    let (mut input, mut pending, mut output) = ([0; 16_384], Vec::new(), Vec::new());
    let mut greeted = false;
    loop {
        let count = stream.read(&mut input)?;
        let mut bytes = input.get(..count).filter(|_| count > 0).ok_or("the peer closed the connection")?;
        if !greeted {
            match parser.feed(bytes, |target| target == name) {
                HelloProgress::Incomplete => continue,
                HelloProgress::Refused(error) => return Err(error.into()),
                HelloProgress::Complete(hello, taken) => {
                    println!("{} speaks version {}", hello.sender, hello.version);
                    bytes = &bytes[taken..];
                    greeted = true;
                }
            }
            Status::Accepted.encode(&mut output);
            // Ask for everything there is; updates follow as they happen.
            Control::ResyncRequest.encode(&mut output);
        }
        pending.extend_from_slice(bytes);
        let mut taken = 0;
        while let Some((message, size)) = decoder.decode(&pending[taken..])? {
            match message {
                Message::Update(update) => {
                    println!("{} {:?}", update.key_type.text(&update.update.key), update.update);
                }
                // The teacher waits for this before it sends anything else.
                Message::Control(Control::ResyncFinished | Control::ResyncPartial) => {
                    Control::ResyncConfirm.encode(&mut output);
                }
                // Nothing to teach, and not up to date either.
                Message::Control(Control::ResyncRequest) => Control::ResyncPartial.encode(&mut output),
                Message::Control(Control::Heartbeat) => Control::Heartbeat.encode(&mut output),
                _ => {}
            }
            taken += size;
        }
        pending.drain(..taken);
        stream.write_all(&std::mem::take(&mut output))?;
    }
}
