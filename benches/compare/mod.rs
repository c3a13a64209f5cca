//! The comparison: what is measured (`rows`), of whom (`servers`), how (`conduct`), and what is
//! made of it (`stats`, `text`, `document`).

mod args;
mod build;
mod child;
mod conduct;
mod document;
mod host;
mod pictures;
mod results;
mod rows;
mod servers;
mod stats;
#[cfg(test)]
mod test_data;
mod text;

use std::process::ExitCode;

use args::{Action, Plan};
use results::Results;

/// What went wrong, in words for whoever started the comparison.
type Failure = String;

/// Carries the command line out.
pub(crate) fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    match args::action(&args).and_then(carry_out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("compare: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(action: Action) -> Result<(), Failure> {
    match action {
        Action::List => {
            text::list();
            Ok(())
        }
        Action::Render => {
            let results = Results::load()?.ok_or("there are no results to render yet")?;
            document::write(&results)
        }
        Action::Measure(plan) => measure(&plan),
    }
}

fn measure(plan: &Plan) -> Result<(), Failure> {
    let servers = build::servers(plan)?;
    let results = conduct::all(plan, &servers)?;
    text::show(&results, plan);
    if plan.writes {
        let all = match Results::load()? {
            Some(before) => before.updated_by(results.clone()),
            None => results.clone(),
        };
        all.save()?;
        document::write(&all)?;
    }
    match results.faults() {
        0 => Ok(()),
        faults => Err(format!("{faults} runs were not good; see above")),
    }
}
