//! Commands of the pages that take a server or a proxy: each block runs as it is written, before the reference server, in
//! front of a real Envoy, or at a real admin side. The others are run by `tests/commands.rs`.

#[path = "../support/pages.rs"]
pub(super) mod pages;

use super::approvals::{TOKEN, start as start_for_approvals, sum, waits};
use super::func_e::{FUNC_E, FuncE};
use super::support::clients::{Outcome, Step, typescript};
use super::support::envoy::Envoy;
use super::support::everything::Everything;
use super::support::parts::{PEERS, PYTHON, Parts, root};
use super::support::upstream::Upstream;
use pages::{BY_A_SCRIPT, Block, Sandbox, all, blocks};
use std::fs;
use std::net::TcpListener;
use std::path::Path;

/// The blocks of a page that take a server or a proxy, and, where it has any, a sandbox to run all of its blocks in.
fn sandbox(page: &str, about: impl Fn(&Block) -> bool) -> Option<(Sandbox, Vec<Block>)> {
    let blocks = blocks(page);
    let is_meant = blocks.iter().any(&about) && !BY_A_SCRIPT.contains(&page);
    let sandbox = is_meant.then(|| Sandbox::new(&format!("commands-envoy/{}", page.replace('/', "-"))))?;
    Some((sandbox, blocks))
}

fn is_about_approvals(block: &Block) -> bool {
    block.steps().iter().any(|step| step.command.contains("mcp-policy approvals"))
}

/// Has `mcp-policy run` serve until it says that it does, and then end as by Ctrl-C. What is given beside is ports.
fn serve_for_a_moment(sandbox: &Sandbox, envoy: &Path) {
    let program = env!("CARGO_BIN_EXE_mcp-policy");
    let ports = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    let [port, admin] = ports.map(|listener| listener.local_addr().expect("an address").port());
    fs::remove_file(sandbox.path("bin/mcp-policy")).expect("the link");
    let script = format!(
        r#"[ "$1" = run ] || exec {program} "$@"
shift
ENVOY={} {program} run --port {port} --admin-port {admin} "$@" 2>run.err &
until grep -q 'Ctrl-C ends it' run.err; do
  kill -0 $! || {{ cat run.err >&2; exit 1; }}
  sleep 0.1
done
kill -TERM $!
wait $!"#,
        envoy.display()
    );
    sandbox.stand_in("mcp-policy", &script);
}

#[test]
fn each_block_before_a_server_does_what_its_page_says() {
    let Some(parts) = Parts::with(&[PEERS, PYTHON, FUNC_E]) else { return };
    let server = Everything::start("commands.server");
    let program = root().join(PEERS).join("node_modules/@modelcontextprotocol/server-everything/dist/index.js");
    let mut served = 0;
    for page in all() {
        let is_meant = |block: &Block| block.needs_servers() && !is_about_approvals(block);
        let Some((mut sandbox, blocks)) = sandbox(&page, is_meant) else { continue };
        for address in ["http://127.0.0.1:3001/mcp", "http://127.0.0.1:9000/mcp", "https://mcp.example.com/mcp"] {
            sandbox.stands_for.insert(0, (address.to_owned(), server.url()));
        }
        fs::write(sandbox.path("token-file"), "Bearer of-this-test").expect("a file");
        let node = pages::of_this_machine("node");
        sandbox.stand_in("npx", &format!("exec {} {} stdio", node.display(), program.display()));
        // What it is to serve is looked at by the real one, and left for this test to serve.
        let look = r#"[ "$1" != -c ] || { cp "$2" served.yaml; set -- --mode validate "$@"; }"#;
        sandbox.stand_in("envoy", &format!("{look}\nexec {} \"$@\"", parts.envoy.display()));
        let envoy = sandbox.path("bin/envoy");
        let func_e = FuncE::new(&format!("commands-{}.func-e", page.replace('/', "-")), Path::new(&envoy));
        sandbox.give("func-e", &func_e.program);
        serve_for_a_moment(&sandbox, &parts.envoy);
        for block in blocks.iter().filter(|block| !is_about_approvals(block)) {
            sandbox.run(block);
            if let Ok(file) = fs::read_to_string(sandbox.path("served.yaml")) {
                fs::remove_file(sandbox.path("served.yaml")).expect("the file");
                let file =
                    file.replace("port_value: 8080", "port_value: 0").replace("port_value: 10000", "port_value: 0");
                let envoy = Envoy::start(&parts, &format!("commands-{}", page.replace('/', "-")), &file);
                let outcomes = typescript(&envoy.url(), &[Step::List]);
                assert!(matches!(outcomes.as_slice(), [Outcome::Tools(_)]), "{}: {outcomes:?}", block.place);
                served += 1;
            }
        }
    }
    assert!(served >= 2, "{served}");
}

#[test]
fn each_block_about_approvals_does_what_its_page_says() {
    let Some(parts) = Parts::gateway() else { return };
    let upstream = Upstream::running_every_call();
    let mut count = 0;
    for page in all() {
        let Some((mut sandbox, blocks)) = sandbox(&page, is_about_approvals) else { continue };
        let envoy = start_for_approvals(&parts, &format!("commands-{}", page.replace('/', "-")), &upstream, &[]);
        let mut agent = envoy.connect();
        let program = env!("CARGO_BIN_EXE_mcp-policy");
        let side = envoy.admin_side();
        fs::remove_file(sandbox.path("bin/mcp-policy")).expect("the link");
        sandbox.stand_in("mcp-policy", &format!("exec {program} \"$@\" --admin http://{side} --token-file token"));
        fs::write(sandbox.path("token"), TOKEN).expect("a file");
        for block in blocks.iter().filter(|block| is_about_approvals(block)) {
            let (yes, no) = (waits(sum(&mut agent, 500, 2 * count)), waits(sum(&mut agent, 500, 2 * count + 1)));
            sandbox.stands_for.splice(..0, [("ap_zX9…".to_owned(), yes), ("ap_7Qd…".to_owned(), no)]);
            sandbox.run(block);
            count += 1;
        }
    }
    assert!(count >= 2, "{count}");
}
