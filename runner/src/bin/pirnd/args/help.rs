//! What `pirnd --help` says.

pub(crate) const HELP: &str = "\
pirnd: runs Spin applications on small boards

Usage: pirnd up [PATH] [OPTIONS]               run an app until SIGTERM
       pirnd serve [--apps DIR] [OPTIONS]      run all apps of a folder in one process
       pirnd app WHAT [OPTIONS]                change what a running `pirnd serve` runs; WHAT is
                                                 list               how all of them are
                                                 add PATH           take the app there in, start it
                                                 remove NAME        stop it, take it out
                                                 start | stop | restart NAME
                                                 replace NAME PATH  put another version in its place
                                                 status [NAME]      its counters; without a name what is in use of the board
       pirnd verify [PATH] [OPTIONS]           check everything that `up` would, run nothing
       pirnd invoke COMPONENT EVENT [PATH] [OPTIONS]
                                               hand one event to a component; EVENT is
                                                 --topic T (--payload P | --payload-file F)
                                                 --line NAME --edge rising|falling
                                                 --tick
                                                 --timestamp SECONDS
                                                 --run
       pirnd safe-state [PATH | --apps DIR] [OPTIONS]
                                               set all outputs to their safe levels, after a crash
       pirnd status [PATH] [--socket S] [--format table|json]
                                               counters of a running pirnd
       pirnd dead-letters WHAT [PATH] [OPTIONS]
                                               events that could not be handled, of a running pirnd or
                                               of one that is stopped; WHAT is
                                                 list       a line for each
                                                 show ID    one, with its payload
                                                 retry ID   have it tried again; or --all
                                                 drop ID    let go of it; or --all
                                                 export     lines of JSON, with payloads; -o FILE

PATH is the app's folder or its spin.toml (here: the current folder); -f PATH says the same.

Options:
  -f, --from PATH               the app's folder or its spin.toml
      --board NAME|FILE         the board (a shipped name, or a TOML file)
      --runtime-config-file F   the operator's settings
      --variable NAME=VALUE     value of a variable; goes before all other sources
  -e, --env NAME=VALUE          environment of the components
      --profile NAME            component profile of the manifest
      --state-dir DIR           where key-value data and dead letters are kept; of serve and app, where
                                everything is kept (/var/lib/pirn)
      --apps DIR                the apps that serve runs: folders, and links to folders
      --name NAME               of an app that is added, instead of its own
  -L, --log-dir DIR             where components' output is kept, instead of on stderr
      --log-format text|json    pirnd's own log, on stderr
  -v, --verbose                 log every event, not just what went wrong
  -q, --quiet                   no output of components
      --listen ADDR             where requests are taken: IP:PORT, unix:/PATH (127.0.0.1:3000)
      --tls-cert F, --tls-key F certificate and key in PEM: requests come over TLS
      --find-free-port          the next free port, if somebody else has that one
      --once                    handle one event, then exit
      --format table|json       how status and dead-letters answer
      --component C             dead letters of this component
      --older-than T, --newer-than T
                                dead letters put aside longer, or less long, ago (90s, 5min, 2h)
  -o, --output FILE             where export writes, instead of stdout
  -h, --help    -V, --version

Exit status: 0 fine; 1 failed while running; 2 command line, manifest, artifact or board is wrong;
invoke: 3 the component refused the event, 4 it failed.
";
