//! A worker without a proxy (proxy-wasm ABI 0.2.1): takes the plugin through streams as Envoy does, and tells what each cost.

use super::functions::{Lines, World, linker, memory};
use std::collections::BTreeMap;
use std::path::Path;
use wasmi::{CompilationMode, Config, Engine, Instance, Module, Store, TypedFunc};

/// Enough for any one callback.
const TANK: u64 = 1 << 50;

const ROOT: u32 = 1;
const REQUEST_BODY: u32 = 0;
const RESPONSE_BODY: u32 = 1;
const CONFIGURATION: u32 = 7;
const REQUEST_HEADERS: u32 = 0;
const RESPONSE_HEADERS: u32 = 2;

/// One worker with the plugin in it.
pub struct Worker {
    store: Store<World>,
    instance: Instance,
    next: u32,
}

/// What a stream was made of, and what came of it.
#[derive(Clone, Copy)]
pub struct Exchange<'a> {
    pub request: &'a [(&'a str, &'a str)],
    pub body: &'a [u8],
    pub response: &'a [(&'a str, &'a str)],
    pub answer: &'a [u8],
}

/// What a stream cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cost {
    /// What the interpreter takes for the operators that ran.
    pub fuel: u64,
    /// How often the host was called, by function.
    pub calls: BTreeMap<&'static str, u64>,
    /// How often the host called the plugin.
    pub callbacks: u64,
    /// What the client got instead of the server's answer, or as it is.
    pub answer: Vec<u8>,
    /// The server was never asked.
    pub is_refused: bool,
}

/// Bytes that a proxy hands over at a time.
const CHUNK: usize = 16 << 10;

impl Worker {
    /// A worker that has taken up `configuration`.
    pub fn start(plugin: &Path, configuration: &str) -> Self {
        let wasm = std::fs::read(plugin).unwrap_or_else(|error| panic!("{}: {error}", plugin.display()));
        let engine = Engine::new(Config::default().consume_fuel(true).compilation_mode(CompilationMode::Eager));
        let module = Module::new(&engine, &wasm).expect("a module");
        let mut store = Store::new(&engine, World { nanoseconds: 1_795_000_000_000_000_000, ..World::default() });
        store.set_fuel(TANK).expect("fuel");
        let linker = linker(&engine, &module);
        let instance = linker.instantiate_and_start(&mut store, &module).expect("an instance");
        let mut worker = Self { store, instance, next: ROOT + 1 };
        worker.call::<(), ()>("_initialize", ());
        worker.store.data_mut().buffers.insert(CONFIGURATION, configuration.into());
        worker.call::<(u32, u32), ()>("proxy_on_context_create", (ROOT, 0));
        worker.call::<(u32, u32), u32>("proxy_on_vm_start", (ROOT, 0));
        let size = u32::try_from(configuration.len()).expect("a size");
        assert_eq!(worker.call::<(u32, u32), u32>("proxy_on_configure", (ROOT, size)), 1, "the configuration");
        worker
    }

    fn call<P: wasmi::WasmParams, R: wasmi::WasmResults>(&mut self, name: &str, parameters: P) -> R {
        let function: TypedFunc<P, R> = self.instance.get_typed_func(&self.store, name).expect(name);
        function.call(&mut self.store, parameters).unwrap_or_else(|trap| panic!("{name}: {trap}"))
    }

    /// Bytes of the plugin's memory.
    pub fn memory(&self) -> usize {
        memory(self.instance.get_export(&self.store, "memory")).data_size(&self.store)
    }

    /// Runs one stream from its headers to its end.
    pub fn run(&mut self, exchange: Exchange<'_>) -> Cost {
        let Exchange { request, body, response, answer } = exchange;
        let stream = self.next;
        self.next += 1;
        let before = self.store.get_fuel().expect("fuel");
        let lines = |lines: &[(&str, &str)]| {
            lines.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect::<Lines>()
        };
        let world = self.store.data_mut();
        (world.calls, world.has_replied) = (BTreeMap::new(), false);
        world.nanoseconds += 1_000_000;
        world.headers = BTreeMap::from([(REQUEST_HEADERS, lines(request)), (RESPONSE_HEADERS, lines(response))]);
        world.buffers = BTreeMap::from([(REQUEST_BODY, Vec::new()), (RESPONSE_BODY, Vec::new())]);
        let mut callbacks = 4;
        self.call::<(u32, u32), ()>("proxy_on_context_create", (stream, ROOT));
        let count = |lines: &[(&str, &str)]| u32::try_from(lines.len()).expect("a count");
        callbacks += 1;
        self.call::<(u32, u32, u32), u32>(
            "proxy_on_request_headers",
            (stream, count(request), u32::from(body.is_empty())),
        );
        let (more, _) = self.feed(stream, "proxy_on_request_body", REQUEST_BODY, body);
        callbacks += more;
        let is_refused = self.store.data().has_replied;
        let mut passed = Vec::new();
        if !is_refused {
            callbacks += 1;
            self.call::<(u32, u32, u32), u32>("proxy_on_response_headers", (stream, count(response), 0));
            let (more, out) = self.feed(stream, "proxy_on_response_body", RESPONSE_BODY, answer);
            callbacks += more;
            passed = out;
        } else {
            // What the plugin answers comes back through it.
            callbacks += 2;
            self.call::<(u32, u32, u32), u32>("proxy_on_response_headers", (stream, 2, 0));
            self.call::<(u32, u32, u32), u32>("proxy_on_response_body", (stream, 100, 1));
        }
        self.call::<u32, ()>("proxy_on_log", stream);
        self.call::<u32, u32>("proxy_on_done", stream);
        self.call::<u32, ()>("proxy_on_delete", stream);
        let fuel = before - self.store.get_fuel().expect("fuel");
        self.store.set_fuel(TANK).expect("fuel");
        Cost { fuel, calls: std::mem::take(&mut self.store.data_mut().calls), callbacks, answer: passed, is_refused }
    }

    /// The chunks of a body, held where the plugin says so; the callbacks, and what has passed.
    fn feed(&mut self, stream: u32, callback: &str, buffer: u32, body: &[u8]) -> (u64, Vec<u8>) {
        let (mut callbacks, mut passed) = (0, Vec::new());
        let count = body.len().div_ceil(CHUNK);
        for (index, chunk) in body.chunks(CHUNK).enumerate() {
            let held = self.store.data_mut().buffers.entry(buffer).or_default();
            held.extend_from_slice(chunk);
            let size = u32::try_from(held.len()).expect("a size");
            callbacks += 1;
            let is_last = u32::from(index + 1 == count);
            let action = self.call::<(u32, u32, u32), u32>(callback, (stream, size, is_last));
            if action == 0 {
                passed.append(self.store.data_mut().buffers.entry(buffer).or_default());
            }
            if self.store.data().has_replied {
                break;
            }
        }
        (callbacks, passed)
    }
}
