//! What the plan takes from the device: variables, folders, board, policy.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};

use pirn_runner::plan::{App, AppError, AppFiles, Budget, BudgetRow, RowKind, TriggerPlanKind};

const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "app"
[application.trigger.mqtt]
address = "mqtt://{{ host }}"
password = "{{ token }}"
[variables]
host = { default = "from-default" }
token = { default = "s3cret", secret = true }
[[trigger.mqtt]]
component = "echo"
topic = "in"
[component.echo]
source = "echo.wasm"
variables = { host = "{{ host }}", token = "<{{ token }}>" }
allowed_outbound_hosts = ["http://{{ host }}"]
[component.unused]
source = "unused.wasm"
"#;

/// A folder with the manifest in it, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        let folder = Self(path);
        folder.write("spin.toml", MANIFEST);
        folder
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn files(&self) -> AppFiles {
        AppFiles { board: Some("generic-x86_64".to_owned()), ..AppFiles::new(&self.0) }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn host(files: &AppFiles) -> String {
    App::load(files).unwrap().broker.unwrap().address.host
}

#[test]
fn a_variable_is_looked_up_in_the_order_that_spin_has() {
    let folder = Folder::new("order");
    let mut files = folder.files();
    assert_eq!(host(&files), "from-default");
    folder.write(".env", "# the folder's\nSPIN_VARIABLE_HOST=from-dotenv\n");
    assert_eq!(host(&files), "from-dotenv");
    std::sync::Arc::make_mut(&mut files.process_environment)
        .insert("SPIN_VARIABLE_HOST".into(), "from-environment".into());
    assert_eq!(host(&files), "from-environment");
    std::sync::Arc::make_mut(&mut files.process_environment)
        .insert("HOUSE_HOST".into(), "from-second-provider".into());
    let second = "[[variables_provider]]\ntype = \"env\"\nprefix = \"HOUSE\"\n";
    files.runtime_config = Some(folder.write("operator.toml", second));
    assert_eq!(host(&files), "from-second-provider");
    let first =
        "[[variables_provider]]\ntype = \"static\"\nvalues = { host = \"from-first-provider\" }\n";
    folder.write("operator.toml", &format!("{first}{second}"));
    assert_eq!(host(&files), "from-first-provider");
    files.variables.push(("host".into(), "from-command-line".into()));
    assert_eq!(host(&files), "from-command-line");
    files.variables.push(("host".into(), "from-the-last-one".into()));
    assert_eq!(host(&files), "from-the-last-one");
}

#[test]
fn a_provider_may_have_a_dotenv_file_of_its_own() {
    let folder = Folder::new("dotenv");
    folder.write("house.env", "export HOUSE_HOST='quoted'\n");
    let provider =
        "[[variables_provider]]\ntype = \"env\"\nprefix = \"HOUSE\"\ndotenv_path = \"house.env\"\n";
    let mut files = folder.files();
    files.runtime_config = Some(folder.write("operator.toml", provider));
    assert_eq!(host(&files), "quoted");
    folder.write("house.env", "HOUSE_HOST\n");
    let error = App::load(&files).unwrap_err().to_string();
    assert!(error.contains("house.env:1: cannot be read"), "{error}");
    std::fs::remove_file(folder.0.join("house.env")).unwrap();
    let error = App::load(&files).unwrap_err().to_string();
    assert!(error.contains("house.env: cannot be read"), "{error}");
}

#[test]
fn a_guest_reads_its_own_variables_only() {
    use pirn_runner::files::variables::VariableError;
    let folder = Folder::new("guest");
    let app = App::load(&folder.files()).unwrap();
    let resolve = |component, name| app.variables.resolve(component, name);
    assert_eq!(resolve("echo", "token"), Ok("<s3cret>".into()));
    assert_eq!(resolve("unused", "token"), Err(VariableError::Undefined("token".into())));
    assert_eq!(resolve("nobody", "token"), Err(VariableError::Undefined("token".into())));
    assert_eq!(resolve("echo", "other"), Err(VariableError::Undefined("other".into())));
    assert_eq!(resolve("echo", "No-Name"), Err(VariableError::InvalidName("No-Name".into())));
}

#[test]
fn no_secret_is_in_what_the_plan_prints() {
    let folder = Folder::new("secret");
    let mut files = folder.files();
    let provider = "[[variables_provider]]\ntype = \"static\"\nvalues = { token = \"operat0r\" }\n";
    files.runtime_config = Some(folder.write("operator.toml", provider));
    let app = App::load(&files).unwrap();
    assert_eq!(app.broker.as_ref().unwrap().password.as_deref(), Some("operat0r"));
    let printed = format!("{app:?}");
    assert!(!printed.contains("s3cret") && !printed.contains("operat0r"), "{printed}");
    files.variables.push(("token".into(), "command-l1ne".into()));
    let printed = format!("{files:?}");
    assert!(!printed.contains("command-l1ne"), "{printed}");
}

#[test]
fn state_is_kept_where_the_command_line_the_operator_or_systemd_says() {
    let folder = Folder::new("state");
    let mut files = folder.files();
    let state = |files: &AppFiles| App::load(files).unwrap().state_dir;
    assert_eq!(state(&files), folder.0.join(".pirn-state"));
    std::sync::Arc::make_mut(&mut files.process_environment)
        .insert("STATE_DIRECTORY".into(), "/var/lib/pirn:/var/lib/other".into());
    assert_eq!(state(&files), Path::new("/var/lib/pirn"));
    files.runtime_config = Some(folder.write("operator.toml", "state_dir = \"state\"\n"));
    assert_eq!(state(&files), folder.0.join("state"));
    files.state_dir = Some("elsewhere".into());
    assert_eq!(state(&files), Path::new("elsewhere"));
}

#[test]
fn the_manifest_or_its_folder_can_be_named() {
    let folder = Folder::new("named");
    let by_folder = App::load(&folder.files()).unwrap();
    let by_file = AppFiles { manifest: folder.0.join("spin.toml"), ..folder.files() };
    let by_file = App::load(&by_file).unwrap();
    assert_eq!(by_folder.dir, by_file.dir);
    assert_eq!(by_file.component_file(&by_file.components[0]), Some(folder.0.join("echo.wasm")));
    let missing = App::load(&AppFiles::new(folder.0.join("no.toml"))).unwrap_err().to_string();
    assert!(missing.contains("no.toml: cannot be read"), "{missing}");
}

#[test]
fn components_that_no_trigger_names_are_not_in_the_plan() {
    let folder = Folder::new("unused");
    let app = App::load(&folder.files()).unwrap();
    let ids: Vec<_> = app.components.iter().map(|component| component.id.as_str()).collect();
    assert_eq!(ids, ["echo"]);
    assert!(app.component("unused").is_none());
    let TriggerPlanKind::Mqtt { topic, .. } = &app.triggers[0].kind else { panic!("another") };
    assert_eq!((app.triggers[0].component, topic.as_str()), (0, "in"));
}

#[test]
fn hosts_from_variables_are_granted() {
    let folder = Folder::new("hosts");
    let mut files = folder.files();
    files.variables.push(("host".into(), "10.0.0.1".into()));
    let app = App::load(&files).unwrap();
    assert!(app.components[0].capabilities.hosts.permits("http", "10.0.0.1", None));
    assert!(!app.components[0].capabilities.hosts.permits("http", "from-default", None));
}

#[test]
fn publishing_needs_both_the_manifests_and_the_devices_grant() {
    let folder = Folder::new("topics");
    let tool = "[component.echo.tool.pirn]\nmqtt_topics = [\"out/#\", \"log\"]\n";
    folder.write("spin.toml", &format!("{MANIFEST}{tool}"));
    let mut files = folder.files();
    let permits = |files: &AppFiles, topic: &str| {
        let app = App::load(files).unwrap();
        app.component("echo").unwrap().capabilities.publish_topics.permits(topic)
    };
    assert!(permits(&files, "out/a") && permits(&files, "log") && !permits(&files, "other"));
    let policy = "[tool.pirn.policy]\nmqtt_publish_topics = [\"out/a\", \"other\"]\n";
    files.runtime_config = Some(folder.write("operator.toml", policy));
    assert!(permits(&files, "out/a") && !permits(&files, "out/b"));
    assert!(!permits(&files, "log") && !permits(&files, "other"));
}

#[test]
fn code_counts_once_its_size_is_known() {
    let folder = Folder::new("code");
    let app = App::load(&folder.files()).unwrap();
    let unknown = app.budget(&[]).check().unwrap();
    let known = app.budget(&[Some(1_000_000)]).check().unwrap();
    let code = 1_000_000 + pirn_runner::limits::engine::COMPONENT_BYTES;
    assert_eq!(known.total_bytes(), unknown.total_bytes() + code);
    let refused = app.budget(&[Some(u64::MAX)]).check().unwrap_err();
    assert_eq!(refused.budget.total_bytes(), u64::MAX);
    let row = refused.budget.rows.iter().find(|row| row.kind == RowKind::Code).unwrap();
    assert_eq!((row.holder.as_str(), row.bytes), ("echo", Some(u64::MAX)));
}

#[test]
fn an_app_that_does_not_fit_is_refused_with_the_sum() {
    let files = AppFiles {
        board: Some("tests/board/strict.toml".to_owned()),
        ..AppFiles::new("tests/manifest/over-budget.toml")
    };
    let Err(AppError::OverBudget(refused)) = App::load(&files) else { panic!("it fitted") };
    let sum: u64 = refused.budget.rows.iter().filter_map(|row| row.bytes).sum();
    assert_eq!(sum, refused.budget.total_bytes());
    assert!(sum > refused.budget.limit_bytes);
}

#[test]
fn instances_that_do_not_fit_together_take_turns_unless_the_board_says_otherwise() {
    let load = |board: &str| {
        App::load(&AppFiles {
            board: Some(format!("tests/board/{board}.toml")),
            ..AppFiles::new("tests/manifest/over-budget.toml")
        })
    };
    let app = load("tiny").unwrap();
    let memories = |row: &&BudgetRow| row.kind == RowKind::Memory;
    let counted: Vec<_> = app.budget(&[]).rows.iter().filter(memories).cloned().collect();
    assert_eq!(counted.len(), 1);
    assert_eq!((counted[0].holder.as_str(), counted[0].count), ("other", 1));
    assert!(load("strict").is_err());
}

#[test]
fn what_all_apps_need_is_the_sum_of_their_code_and_the_largest_of_their_instances() {
    let folder = Folder::new("together");
    let files = |board: &str| AppFiles {
        board: Some(format!("tests/board/{board}.toml")),
        ..folder.files()
    };
    let app = App::load(&files("strict")).unwrap();
    let three = [(&app, 100_000), (&app, 200_000), (&app, 300_000)];
    let all = App::budget_of_all(&app.board, three.into_iter());
    let instances = |budget: &Budget| -> u32 {
        budget.rows.iter().filter(|row| row.kind == RowKind::Memory).map(|row| row.count).sum()
    };
    assert_eq!((all.code_bytes(), instances(&all)), (600_000, 2));
    let one = App::budget_of_all(&app.board, three[..1].iter().copied());
    assert_eq!((one.code_bytes(), instances(&one)), (100_000, 1));
}
