//! One connection of the runtime API: lines in, answers out.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::command::Session;
use super::mode::Mode;
use super::places::{Place, Places};
use super::reply::Reply;
use super::words::{commands, line_end};
use super::{Context, ServerOptions};
use crate::config::Level;
use crate::net::Stream;

/// The answer to a line that does not fit.
const LINE_TOO_LONG: &str = "The command line is too big for the buffer size. Please change tune.bufsize in the configuration to use a bigger command.\n";
/// How long a connection that was answered is kept for its client to close it: closing with unread input would make
/// the system throw the answer away.
const LINGER: Duration = Duration::from_secs(1);
/// Most input thrown away while waiting for that, in bytes.
const LINGER_BYTES: u64 = 1 << 20;

/// Serves one connection that was made elsewhere than on a socket of a [`Server`](super::Server): until either side closes
/// it, or it is idle for too long. `level` is what it may do; of the options, the idle time and the bound of lines count.
///
/// # Errors
/// When the client is gone or does not take its answer.
pub async fn serve(
    stream: Box<dyn Stream>,
    context: Arc<dyn Context>,
    level: Level,
    options: &ServerOptions,
) -> io::Result<()> {
    let sockets = options.sockets.iter().map(|socket| (socket.address.to_string(), socket.level));
    let session =
        Session { level, mode: Mode::default(), timeout: options.timeout, sockets: sockets.collect() };
    let (_running, stop) = watch::channel(false);
    // Nobody else waits for its place.
    let places = Arc::new(Places::new(1, Arc::default()));
    let Some(place) = places.take().await else { return Ok(()) };
    Connection::new(stream, context, session, place, options.max_line, stop).serve().await
}

/// A connection with what it needs to be served.
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    context: Arc<dyn Context>,
    session: Session,
    place: Place,
    /// Whether a line was run.
    has_run: bool,
    /// Most bytes of a line.
    max_line: usize,
    /// Input that has not been run.
    input: Vec<u8>,
    /// Output that has not been sent; never more than a chunk.
    output: String,
    stop: watch::Receiver<bool>,
}

/// Whether to go on after a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Line,
    Close,
}

impl Connection {
    pub(crate) fn new(
        stream: Box<dyn Stream>,
        context: Arc<dyn Context>,
        session: Session,
        place: Place,
        max_line: usize,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let (input, output) = (Vec::new(), String::new());
        Self { stream, context, session, place, has_run: false, max_line, input, output, stop }
    }

    /// Serves the connection until it is closed by either side, idle for too long, or told to stop between two lines.
    ///
    /// # Errors
    /// When the client is gone or does not take its answer.
    pub(crate) async fn serve(mut self) -> io::Result<()> {
        while let Some(line) = self.next_line().await? {
            self.has_run = true;
            let next = self.run_line(&line).await?;
            self.flush().await?;
            if next == Next::Close {
                break;
            }
        }
        self.flush().await?;
        self.stream.shutdown().await?;
        self.place.waits(true);
        let mut rest = (&mut self.stream).take(LINGER_BYTES);
        let mut nowhere = tokio::io::sink();
        let linger = timeout(LINGER, tokio::io::copy(&mut rest, &mut nowhere));
        tokio::select! {
            _ = linger => {}
            () = self.place.has_to_leave() => {}
        }
        Ok(())
    }

    /// The next line without its end; `None` when there will be none.
    ///
    /// The whole line has to come in the idle time: one that comes byte by byte would last for ever.
    async fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.place.waits(!self.has_run);
        let mut until = Instant::now() + self.session.timeout;
        loop {
            if let Some(end) = line_end(&self.input) {
                let rest = self.input.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.input, rest);
                line.pop();
                if line.len() <= self.max_line {
                    self.place.works();
                    return Ok(Some(line));
                }
                self.input = line;
            }
            if self.input.len() > self.max_line {
                self.output.push_str(LINE_TOO_LONG);
                return Ok(None);
            }
            if *self.stop.borrow() {
                return Ok(None);
            }
            let mut buffer = [0; 4096];
            let read = tokio::select! {
                read = timeout_at(until, self.stream.read(&mut buffer)) => read,
                () = self.place.has_to_leave() => return Ok(None),
                _ = self.stop.changed() => return Ok(None),
            };
            match read {
                Ok(Ok(0)) | Err(_) => return Ok(None),
                Ok(Ok(count)) => {
                    if self.input.is_empty() {
                        until = Instant::now() + self.session.timeout;
                    }
                    self.input.extend_from_slice(&buffer[..count]);
                }
                Ok(Err(error)) => return Err(error),
            }
        }
    }

    /// Runs the commands of a line. Each answer ends with an empty line, and the whole with the prompt, if there is one.
    async fn run_line(&mut self, line: &[u8]) -> io::Result<Next> {
        for command in commands(line) {
            match self.session.run(&self.context, command) {
                Reply::Text(text) | Reply::Message(_, text) => self.output.push_str(&text),
                Reply::Close => return Ok(Next::Close),
                Reply::Work(work) => {
                    let text = tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?;
                    self.output.push_str(&text);
                }
                Reply::Chunks(mut chunks) => {
                    while chunks.next_chunk(&mut self.output) {
                        self.flush().await?;
                        tokio::task::yield_now().await;
                    }
                }
            }
            self.output.push('\n');
            self.flush().await?;
        }
        if !self.session.mode.interactive {
            return Ok(Next::Close);
        }
        self.session
            .mode
            .put_prompt(&mut self.output, || Duration::from_secs(self.context.process().uptime_s));
        Ok(Next::Line)
    }

    /// Sends the output; gives up when the client takes nothing for the idle time.
    async fn flush(&mut self) -> io::Result<()> {
        let mut rest = self.output.as_bytes();
        self.place.waits(false);
        while !rest.is_empty() {
            let written = tokio::select! {
                written = timeout(self.session.timeout, self.stream.write(rest)) => written,
                () = self.place.has_to_leave() => return Err(io::ErrorKind::ConnectionAborted.into()),
            };
            let count = written.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            rest = &rest[count..];
        }
        self.place.works();
        self.output.clear();
        Ok(())
    }
}
