//! `pirn new`: a new app from a template.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::cli::New;
use crate::failure::{Failure, Outcome};
use crate::template::{self, TEMPLATES, Template};
use crate::ui::{self, Volume};

/// Makes the folder and says what to do next. Never touches a folder that has anything in it.
pub(crate) fn run(options: &New) -> Outcome {
    if let Some(reason) = template::wrong_name(&options.name) {
        let name = &options.name;
        return Err(Failure::wrong(format!("{name:?} cannot be an app's name: {reason}")));
    }
    let template = Template::find(&options.template)
        .ok_or_else(|| Failure::wrong(unknown_template(&options.template)))?;
    let folder = options.output.clone().unwrap_or_else(|| PathBuf::from(&options.name));
    check_empty(&folder)?;
    write_files(template, &options.name, &folder).map_err(Failure::failed)?;
    say_next(&options.name, &folder);
    Ok(())
}

fn unknown_template(name: &str) -> String {
    let mut text = format!("there is no template {name:?}; the templates are");
    for Template { name, description, .. } in TEMPLATES {
        text.push_str(&format!("\n  {name}  {description}"));
    }
    text
}

fn check_empty(folder: &Path) -> Outcome {
    let shown = folder.display();
    match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Failure::wrong(format!("{shown}: {error}"))),
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(Failure::wrong(format!(
                "{shown}: there is something already; choose another folder with --output"
            ))),
        },
    }
}

fn write_files(template: &Template, name: &str, folder: &Path) -> Result<(), String> {
    for (path, text) in template.files(name) {
        let file = folder.join(path);
        let parent = file.parent().unwrap_or(folder);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&file, text))
            .map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(())
}

fn say_next(name: &str, folder: &Path) {
    let shown = folder.display();
    Volume::Normal.step("Made", &format!("{shown}, an app; to see it at work:"));
    ui::err(&format!(
        "\n  cd {shown}\n  pirn up\n\n  and in a second terminal\n\n  \
         pirn publish {name}/in/x world --reply {name}/out\n"
    ));
}
