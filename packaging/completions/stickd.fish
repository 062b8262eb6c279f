# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_stickd_global_optspecs
    string join \n h/help V/version
end

function __fish_stickd_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_stickd_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_stickd_using_subcommand
    set -l cmd (__fish_stickd_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c stickd -n "__fish_stickd_needs_command" -s h -l help -d 'Print help'
complete -c stickd -n "__fish_stickd_needs_command" -s V -l version -d 'Print version'
complete -c stickd -n "__fish_stickd_needs_command" -f -a "run" -d 'Run in the foreground, with the built-in configuration when no file is given'
complete -c stickd -n "__fish_stickd_needs_command" -f -a "check" -d 'Check configuration files and say what they mean, or what is wrong with them'
complete -c stickd -n "__fish_stickd_needs_command" -f -a "reload" -d 'Reload a running stickd as SIGUSR2 does, and wait until the next process holds everything'
complete -c stickd -n "__fish_stickd_needs_command" -f -a "state" -d 'Look at tables on disk (`state` in the configuration)'
complete -c stickd -n "__fish_stickd_needs_command" -f -a "dump" -d 'Write the entries of tables as JSON lines or CSV, from a directory or a runtime socket'
complete -c stickd -n "__fish_stickd_needs_command" -f -a "restore" -d 'Put the entries of a dump into a running stickd, or into the directory of a stopped one'
complete -c stickd -n "__fish_stickd_needs_command" -f -a "help" -d 'Show the page of a keyword of the configuration, or of a subcommand'
complete -c stickd -n "__fish_stickd_using_subcommand run" -s f -d 'Configuration file, or directory of .cfg files; may be repeated' -r -F
complete -c stickd -n "__fish_stickd_using_subcommand run" -l haproxy-cfg -d 'HAProxy\'s configuration, as it is on all nodes: its peers sections that name this node and the tables shared there are taken' -r -F
complete -c stickd -n "__fish_stickd_using_subcommand run" -s L -d 'Name of this node in peers sections; without it `localpeer`, else the host name' -r
complete -c stickd -n "__fish_stickd_using_subcommand run" -s p -d 'Write the process id to this file' -r -F
complete -c stickd -n "__fish_stickd_using_subcommand run" -l sf -d 'Take over from these processes: be taught everything they hold, then let them end. Written -sf as in HAProxy' -r
complete -c stickd -n "__fish_stickd_using_subcommand run" -s h -l help -d 'Print help'
complete -c stickd -n "__fish_stickd_using_subcommand check" -s f -d 'Configuration file, or directory of .cfg files; may be repeated' -r -F
complete -c stickd -n "__fish_stickd_using_subcommand check" -l haproxy-cfg -d 'HAProxy\'s configuration, as it is on all nodes: its peers sections that name this node and the tables shared there are taken' -r -F
complete -c stickd -n "__fish_stickd_using_subcommand check" -s L -d 'Name of this node in peers sections; without it `localpeer`, else the host name' -r
complete -c stickd -n "__fish_stickd_using_subcommand check" -l all -d 'Show everything that is wrong, instead of a screenful and a count'
complete -c stickd -n "__fish_stickd_using_subcommand check" -s h -l help -d 'Print help'
complete -c stickd -n "__fish_stickd_using_subcommand reload" -s h -l help -d 'Print help'
complete -c stickd -n "__fish_stickd_using_subcommand state; and not __fish_seen_subcommand_from show check" -s h -l help -d 'Print help'
complete -c stickd -n "__fish_stickd_using_subcommand state; and not __fish_seen_subcommand_from show check" -f -a "show" -d 'Show which tables a directory holds, with their entries and definitions. A running daemon is not disturbed'
complete -c stickd -n "__fish_stickd_using_subcommand state; and not __fish_seen_subcommand_from show check" -f -a "check" -d 'Read everything in a directory, and say what is damaged. Exit status 1: something cannot be read'
complete -c stickd -n "__fish_stickd_using_subcommand state; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c stickd -n "__fish_stickd_using_subcommand state; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help'
complete -c stickd -n "__fish_stickd_using_subcommand dump" -l format -d 'Form of the dump. CSV is of one table' -r -f -a "jsonl\t'JSON lines'
csv\t'CSV, of one table'"
complete -c stickd -n "__fish_stickd_using_subcommand dump" -s o -l output -d 'Write to this file, which appears when it is complete; without it, to the standard output' -r -F
complete -c stickd -n "__fish_stickd_using_subcommand dump" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c stickd -n "__fish_stickd_using_subcommand restore" -s t -l table -d 'Only entries of this table; may be repeated' -r
complete -c stickd -n "__fish_stickd_using_subcommand restore" -l as-of-now -d 'Lifetimes and rates go on from where the dump has them, as if it was made now'
complete -c stickd -n "__fish_stickd_using_subcommand restore" -s h -l help -d 'Print help'
complete -c stickd -n "__fish_stickd_using_subcommand help" -s h -l help -d 'Print help'
