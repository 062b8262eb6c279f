//! A peer that prints what a HAProxy knows: `print_updates -- 127.0.0.1:10000 NAME`, where the HAProxy's peers section has
//! `peer NAME 127.0.0.1:10000`. Nothing is stored; a real member uses `Section` and `Session`.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use haproxy_peers::{Control, Decoder, HelloParser, HelloProgress, Message, Status};
const USAGE: &str = "usage: print_updates ADDRESS:PORT NAME";

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let listener = TcpListener::bind(arguments.next().ok_or(USAGE)?)?;
    let name = arguments.next().ok_or(USAGE)?;
    for stream in listener.incoming() {
        let Err(error) = serve(stream?, &name);
        eprintln!("session ended, HAProxy will come back: {error}");
    }
    Ok(())
}

fn serve(mut stream: TcpStream, name: &str) -> Result<std::convert::Infallible, Box<dyn Error>> {
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
                HelloProgress::Complete(_, taken) => (bytes, greeted) = (&bytes[taken..], true),
            }
            Status::Accepted.encode(&mut output);
            // Ask for everything there is; updates follow as they happen.
            Control::ResyncRequest.encode(&mut output);
        }
        pending.extend_from_slice(bytes);
        while let Some((message, size)) = decoder.decode(&pending)? {
            match message {
                Message::Update(it) => {
                    println!("{} {:?}", it.key_type.text(&it.update.key), it.update.values);
                }
                Message::Control(control) => match control {
                    // The teacher waits for this before it sends anything else.
                    Control::ResyncFinished | Control::ResyncPartial => {
                        Control::ResyncConfirm.encode(&mut output);
                    }
                    // Nothing to teach, and not up to date either.
                    Control::ResyncRequest => Control::ResyncPartial.encode(&mut output),
                    Control::Heartbeat => control.encode(&mut output),
                    _ => {}
                },
                _ => {}
            }
            pending.drain(..size);
        }
        stream.write_all(&std::mem::take(&mut output))?;
    }
}
