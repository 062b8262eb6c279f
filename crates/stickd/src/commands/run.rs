//! `stickd run`: serves until a signal.

use std::process::ExitCode;
use std::time::Duration;

use stickd::args::Run;
use stickd::config::Config;
use stickd::daemon::{Daemon, Start};
use stickd::files;
use stickd::handover::{Identity, Predecessors};
use stickd::log::Log;
use stickd::prepare;
use stickd::reload::CommandLine;
use stickd::supervise::Supervisor;
use tracing::info;

/// How long the end of the process waits for tasks and blocking work.
const SHUTDOWN: Duration = Duration::from_secs(1);

pub(crate) fn run(arguments: &Run, colors: bool) -> ExitCode {
    let config = match prepare::load(&arguments.configuration.files, &arguments.configuration.options()) {
        Ok(config) => config,
        Err(diagnostics) => {
            eprint!("{}", diagnostics.render(colors));
            return ExitCode::FAILURE;
        }
    };
    let log = match Log::start(&config.global.logs) {
        Ok(log) => log,
        Err(error) => {
            eprintln!("stickd: cannot start the log: {error}");
            return ExitCode::FAILURE;
        }
    };
    log.print(&config.warnings.render(colors));
    for taken in &config.taken {
        info!("{taken}");
    }
    if arguments.configuration.files.is_empty() && arguments.configuration.haproxy_files.is_empty() {
        let name = &config.local_peer;
        info!("no file is given (-f): the built-in configuration serves HAProxys of this machine");
        info!("a HAProxy that runs with -L lb1 joins by a section peers mycluster with these two lines:");
        info!("    peer lb1 127.0.0.1:10001");
        info!("    peer {name} 127.0.0.1:10000");
    }
    let supervisor = Supervisor::new();
    supervisor.watch_panics();
    let result = serve(config, arguments, supervisor);
    if let Err(error) = &result {
        log.print(&format!("stickd: {error:#}\n"));
    }
    drop(log);
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// How this program is started again for a reload; `None` when the system does not know its file.
fn command_line(arguments: &Run) -> Option<CommandLine> {
    let program = std::env::current_exe().ok()?;
    let (check, take_over) = (arguments.check_arguments(), arguments.take_over_arguments(std::process::id()));
    Some(CommandLine { program, check, take_over })
}

fn serve(config: Config, arguments: &Run, supervisor: Supervisor) -> anyhow::Result<()> {
    files::check_limit(&config)?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    // The runtime polls sockets after this many turns of tasks: one that applies what was read takes up to a millisecond.
    let runtime = runtime.enable_all().event_interval(8).build()?;
    let result = runtime.block_on(async {
        let identity = Identity::of(&config);
        let predecessors = Predecessors::ask(&arguments.take_over_from, &identity).await?;
        let daemon = Daemon::new(config, !predecessors.is_empty(), supervisor)?;
        let (pid_file, reload) = (arguments.pid_file.as_deref(), command_line(arguments));
        daemon.run(Start { predecessors, pid_file, reload }).await
    });
    // Work on blocking threads, such as `clear table` of a large table, is not waited for without end.
    runtime.shutdown_timeout(SHUTDOWN);
    result
}
