//! A proxy-wasm host without a proxy (ABI 0.2.1): as much of Envoy as one worker's streams need, with every call of the
//! plugin counted.

use std::collections::BTreeMap;
use std::path::Path;
use wasmi::{Caller, CompilationMode, Config, Engine, Extern, Instance, Linker, Memory, Module, Store, TypedFunc};

type Lines = Vec<(Vec<u8>, Vec<u8>)>;

const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
const CAS_MISMATCH: u32 = 8;
/// Enough for any one callback.
const TANK: u64 = 1 << 50;

const ROOT: u32 = 1;
const REQUEST_BODY: u32 = 0;
const RESPONSE_BODY: u32 = 1;
const CONFIGURATION: u32 = 7;
const REQUEST_HEADERS: u32 = 0;
const RESPONSE_HEADERS: u32 = 2;

/// What the plugin asks of its host.
#[derive(Default)]
struct World {
    calls: BTreeMap<&'static str, u64>,
    headers: BTreeMap<u32, Lines>,
    buffers: BTreeMap<u32, Vec<u8>>,
    shared: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
    has_replied: bool,
    nanoseconds: u64,
}

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

fn memory(export: Option<Extern>) -> Memory {
    export.and_then(Extern::into_memory).expect("a memory")
}

/// The plugin's memory, seen from a host function.
struct Guest<'c, 'w>(&'c mut Caller<'w, World>);

impl Guest<'_, '_> {
    fn memory(&self) -> Memory {
        memory(self.0.get_export("memory"))
    }

    fn read(&self, at: u32, length: u32) -> Vec<u8> {
        let (at, length) = (at as usize, length as usize);
        self.memory().data(&*self.0)[at..at + length].to_vec()
    }

    fn write(&mut self, at: u32, bytes: &[u8]) {
        self.memory().write(&mut *self.0, at as usize, bytes).expect("a place");
    }

    /// Hands `bytes` over in memory that the plugin allocates, as the ABI has it.
    fn give(&mut self, bytes: &[u8], data: u32, length: u32) {
        let size = u32::try_from(bytes.len()).expect("a size");
        let mut place = 0;
        if size > 0 {
            let allocate =
                self.0.get_export("proxy_on_memory_allocate").and_then(Extern::into_func).expect("an allocator");
            let allocate: TypedFunc<u32, u32> = allocate.typed(&*self.0).expect("its type");
            place = allocate.call(&mut *self.0, size).expect("memory");
            self.write(place, bytes);
        }
        self.write(data, &place.to_le_bytes());
        self.write(length, &size.to_le_bytes());
    }

    fn count(&mut self, name: &'static str) {
        *self.0.data_mut().calls.entry(name).or_default() += 1;
    }
}

fn pairs(lines: &Lines) -> Vec<u8> {
    let number = |length: usize| u32::try_from(length).expect("a length").to_le_bytes();
    let mut bytes = number(lines.len()).to_vec();
    for (name, value) in lines {
        bytes.extend(number(name.len()));
        bytes.extend(number(value.len()));
    }
    for text in lines.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend(text);
        bytes.push(0);
    }
    bytes
}

/// The functions that the plugin imports. One that is not named here ends the plugin when it is called.
fn linker(engine: &Engine, module: &Module) -> Linker<World> {
    let mut linker = Linker::new(engine);
    memory_functions(&mut linker);
    header_functions(&mut linker);
    other_functions(&mut linker);
    for import in module.imports() {
        let Some(kind) = import.ty().func() else { continue };
        let (of, name) = (import.module().to_owned(), import.name().to_owned());
        // Those that are there keep their places.
        let _ = linker.func_new(&of, &name, kind.clone(), {
            let name = name.clone();
            move |_: Caller<'_, World>, _, _| Err(wasmi::Error::new(format!("{name} is not what this host has")))
        });
    }
    linker
}

fn memory_functions(linker: &mut Linker<World>) {
    linker
        .func_wrap(
            "env",
            "proxy_get_buffer_bytes",
            |mut caller: Caller<'_, World>, kind: u32, start: u32, size: u32, data: u32, length: u32| {
                let mut guest = Guest(&mut caller);
                guest.count("get_buffer_bytes");
                let Some(buffer) = guest.0.data().buffers.get(&kind) else { return NOT_FOUND };
                let start = (start as usize).min(buffer.len());
                let end = start.saturating_add(size as usize).min(buffer.len());
                let bytes = buffer[start..end].to_vec();
                guest.give(&bytes, data, length);
                OK
            },
        )
        .expect("a name of its own");
    linker
        .func_wrap(
            "env",
            "proxy_set_buffer_bytes",
            |mut caller: Caller<'_, World>, kind: u32, start: u32, size: u32, data: u32, length: u32| {
                let mut guest = Guest(&mut caller);
                guest.count("set_buffer_bytes");
                let bytes = guest.read(data, length);
                let buffer = guest.0.data_mut().buffers.entry(kind).or_default();
                let start = (start as usize).min(buffer.len());
                let end = start.saturating_add(size as usize).min(buffer.len());
                buffer.splice(start..end, bytes);
                OK
            },
        )
        .expect("a name of its own");
    linker
        .func_wrap(
            "env",
            "proxy_get_shared_data",
            |mut caller: Caller<'_, World>, key: u32, key_length: u32, data: u32, length: u32, cas: u32| {
                let mut guest = Guest(&mut caller);
                guest.count("get_shared_data");
                let key = guest.read(key, key_length);
                let Some((value, version)) = guest.0.data().shared.get(&key).cloned() else { return NOT_FOUND };
                guest.give(&value, data, length);
                guest.write(cas, &version.to_le_bytes());
                OK
            },
        )
        .expect("a name of its own");
    linker
        .func_wrap(
            "env",
            "proxy_set_shared_data",
            |mut caller: Caller<'_, World>, key: u32, key_length: u32, data: u32, length: u32, cas: u32| {
                let mut guest = Guest(&mut caller);
                guest.count("set_shared_data");
                let (key, value) = (guest.read(key, key_length), guest.read(data, length));
                let shared = &mut guest.0.data_mut().shared;
                let next = match shared.get(&key) {
                    Some((_, version)) if cas != 0 && cas != *version => return CAS_MISMATCH,
                    Some((_, version)) => version + 1,
                    None => 1,
                };
                shared.insert(key, (value, next));
                OK
            },
        )
        .expect("a name of its own");
}

fn header_functions(linker: &mut Linker<World>) {
    linker
        .func_wrap(
            "env",
            "proxy_get_header_map_pairs",
            |mut caller: Caller<'_, World>, kind: u32, data: u32, length: u32| {
                let mut guest = Guest(&mut caller);
                guest.count("get_header_map_pairs");
                let bytes = guest.0.data().headers.get(&kind).map(pairs).unwrap_or_default();
                guest.give(&bytes, data, length);
                OK
            },
        )
        .expect("a name of its own");
    linker
        .func_wrap(
            "env",
            "proxy_get_header_map_value",
            |mut caller: Caller<'_, World>, kind: u32, key: u32, key_length: u32, data: u32, length: u32| {
                let mut guest = Guest(&mut caller);
                guest.count("get_header_map_value");
                let key = guest.read(key, key_length);
                let lines = guest.0.data().headers.get(&kind);
                let values: Vec<&[u8]> = lines
                    .into_iter()
                    .flatten()
                    .filter(|(name, _)| *name == key)
                    .map(|(_, value)| value.as_slice())
                    .collect();
                if values.is_empty() {
                    return NOT_FOUND;
                }
                let value = values.join(b",".as_slice());
                guest.give(&value, data, length);
                OK
            },
        )
        .expect("a name of its own");
    linker
        .func_wrap(
            "env",
            "proxy_replace_header_map_value",
            |mut caller: Caller<'_, World>, kind: u32, key: u32, key_length: u32, data: u32, length: u32| {
                let mut guest = Guest(&mut caller);
                guest.count("replace_header_map_value");
                let (key, value) = (guest.read(key, key_length), guest.read(data, length));
                let lines = guest.0.data_mut().headers.entry(kind).or_default();
                lines.retain(|(name, _)| *name != key);
                lines.push((key, value));
                OK
            },
        )
        .expect("a name of its own");
    linker
        .func_wrap(
            "env",
            "proxy_remove_header_map_value",
            |mut caller: Caller<'_, World>, kind: u32, key: u32, key_length: u32| {
                let mut guest = Guest(&mut caller);
                guest.count("remove_header_map_value");
                let key = guest.read(key, key_length);
                guest.0.data_mut().headers.entry(kind).or_default().retain(|(name, _)| *name != key);
                OK
            },
        )
        .expect("a name of its own");
    linker
        .func_wrap(
            "env",
            "proxy_send_local_response",
            |mut caller: Caller<'_, World>,
             _status: u32,
             _details: u32,
             _details_length: u32,
             _body: u32,
             _body_length: u32,
             _headers: u32,
             _headers_length: u32,
             _grpc_status: i32| {
                let mut guest = Guest(&mut caller);
                guest.count("send_local_response");
                guest.0.data_mut().has_replied = true;
                OK
            },
        )
        .expect("a name of its own");
}

fn other_functions(linker: &mut Linker<World>) {
    linker
        .func_wrap("env", "proxy_get_current_time_nanoseconds", |mut caller: Caller<'_, World>, time: u32| {
            let mut guest = Guest(&mut caller);
            guest.count("get_current_time_nanoseconds");
            let now = guest.0.data().nanoseconds;
            guest.write(time, &now.to_le_bytes());
            OK
        })
        .expect("a name of its own");
    linker
        .func_wrap(
            "env",
            "proxy_get_property",
            |mut caller: Caller<'_, World>, _path: u32, _path_length: u32, _data: u32, _length: u32| {
                Guest(&mut caller).count("get_property");
                NOT_FOUND
            },
        )
        .expect("a name of its own");
    linker
        .func_wrap(
            "env",
            "proxy_set_property",
            |mut caller: Caller<'_, World>, _path: u32, _path_length: u32, _data: u32, _length: u32| {
                Guest(&mut caller).count("set_property");
                OK
            },
        )
        .expect("a name of its own");
    linker
        .func_wrap("env", "proxy_log", |mut caller: Caller<'_, World>, level: u32, text: u32, length: u32| {
            let mut guest = Guest(&mut caller);
            guest.count("log");
            // From warnings on, for whoever measures to see that something is wrong.
            if level >= 3 {
                eprintln!("plugin: {}", String::from_utf8_lossy(&guest.read(text, length)));
            }
            OK
        })
        .expect("a name of its own");
    // The same bytes each time: what hangs on them must not make one run dearer than another.
    linker
        .func_wrap("wasi_snapshot_preview1", "random_get", |mut caller: Caller<'_, World>, at: u32, length: u32| {
            Guest(&mut caller).write(at, &vec![0; length as usize]);
            OK
        })
        .expect("a name of its own");
    for name in ["proxy_set_effective_context", "proxy_set_tick_period_milliseconds"] {
        linker
            .func_wrap("env", name, |mut caller: Caller<'_, World>, _: u32| {
                Guest(&mut caller).count("other");
                OK
            })
            .expect("a name of its own");
    }
}
