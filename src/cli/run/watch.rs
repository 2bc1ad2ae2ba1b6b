//! The policy while it is edited: each save is put where Envoy looks, in one step, unless it has a problem.

use super::admin::{Admin, Update};
use super::screen::{Screen, warn};
use super::stage::Stage;
use std::fs;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// Between two looks at the file. An edit counts when two looks have seen the same, because an editor may still write.
const PAUSE: Duration = Duration::from_millis(100);
const TIME_TO_TAKE_UP: Duration = Duration::from_secs(10);

/// Follows the edits of the policy, for ever. `taken` is what is in force.
pub(super) async fn follow(stage: &Stage<'_>, admin: &Admin, taken: Option<Vec<u8>>, screen: Screen) {
    let (mut seen, mut taken, mut since) = (taken.clone(), taken, Instant::now());
    loop {
        sleep(PAUSE).await;
        // By its contents, because editors write into a file as well as replace it; it may be away meanwhile.
        let now = fs::read(stage.policy).ok();
        if now != seen {
            (seen, since) = (now, Instant::now());
        } else if now != taken {
            taken = now;
            reload(stage, admin, since, screen).await;
        }
    }
}

async fn reload(stage: &Stage<'_>, admin: &Admin, since: Instant, screen: Screen) {
    let policy = stage.policy.display();
    let kept = "the policy before stays in force";
    let Some(before) = admin.updates().await else {
        warn(format_args!("mcp-policy: Envoy does not answer, so {policy} is not handed to it; {kept}"));
        return;
    };
    // What is wrong is on the standard error by then.
    let Ok(lacks_console) = stage.put() else {
        warn(format_args!("mcp-policy: {policy} is refused, and {kept}"));
        return;
    };
    match timeout(TIME_TO_TAKE_UP, admin.update_since(before)).await {
        Ok(Update::Taken) => {
            let time = since.elapsed().as_millis();
            screen.say(&format!("{policy} is in force, {time} ms after its edit was seen"));
            if lacks_console {
                screen
                    .say("Calls may now wait for a person: start mcp-policy run again, which then serves the console");
            }
        }
        // Not to be expected: it was judged by the code of the plugin.
        Ok(Update::Refused) => {
            warn(format_args!("mcp-policy: Envoy refuses {policy}, and {kept}; see {}", stage.log.display()))
        }
        Err(_) => {
            let limit = TIME_TO_TAKE_UP.as_secs();
            warn(format_args!(
                "mcp-policy: Envoy has not taken up {policy} within {limit} s; see {}",
                stage.log.display()
            ));
        }
    }
}
