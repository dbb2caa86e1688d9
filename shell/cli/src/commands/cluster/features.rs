//! `vltava cluster features`: the levels of the cluster's features, and settling on others.

use crate::problem::{Problem, nearest};
use crate::session::{Session, Trial, pair};
use crate::table::Table;
use clap::Args;
use serde_json::json;
use vltava_client::{Feature, FeatureChange, Text};

/// Show features and their levels, or settle on other levels.
#[derive(Debug, Args)]
#[command(
    after_help = "LEVEL is the cluster's; 0 is without the feature. LOWEST and HIGHEST are what the broker that answers can do.

Examples:
  vltava cluster features
  vltava cluster features --upgrade group.version=1 --dry-run"
)]
pub struct Features {
    /// Raise a feature to a level; may be repeated
    #[arg(long, value_name = "NAME=LEVEL", value_parser = pair, conflicts_with = "downgrade")]
    upgrade: Vec<(String, String)>,
    /// Lower a feature to a level, 0 to be without it; may be repeated
    #[arg(long, value_name = "NAME=LEVEL", value_parser = pair)]
    downgrade: Vec<(String, String)>,
    /// Lower it though metadata may be lost
    #[arg(long, requires = "downgrade")]
    r#unsafe: bool,
    #[command(flatten)]
    trial: Trial,
}

impl Features {
    pub async fn run(&self, session: &Session) -> Result<(), Problem> {
        let ask = async || session.client.features().await.map_err(session.while_doing("asking for features"));
        let mut known = ask().await?;
        if !self.upgrade.is_empty() || !self.downgrade.is_empty() {
            let mut levels = Vec::new();
            for (name, level) in self.upgrade.iter().chain(&self.downgrade) {
                if !known.features.contains_key(name) {
                    let meant = nearest(name, known.features.keys().map(String::as_str));
                    let hint = meant.map_or(String::new(), |meant| format!(": did you mean `{meant}`?"));
                    return Err(Problem::missing(format!("there is no feature `{name}`{hint}")));
                }
                let level =
                    level.parse().map_err(|_| Problem::usage(format!("{name}={level}: a level is a number")))?;
                levels.push((Text::from(name.as_str()), level));
            }
            let change = match (self.upgrade.is_empty(), self.r#unsafe) {
                (false, _) => FeatureChange::Upgrade,
                (true, false) => FeatureChange::SafeDowngrade,
                (true, true) => FeatureChange::UnsafeDowngrade,
            };
            let asked = session.client.update_features(levels, change, self.trial.dry_run);
            session.ask("changing features", asked).await?;
            if self.trial.dry_run {
                return session.did(self.trial, ["change", "changed"], "these features", json!({}));
            }
            known = ask().await?;
        }
        let mut table = Table::new("feature, >level, >lowest, >highest");
        for (name, Feature { level, supported: (low, high) }) in &known.features {
            table.row(json!([name, level, low, high]));
        }
        session.show(&table, "this cluster has no features")
    }
}
