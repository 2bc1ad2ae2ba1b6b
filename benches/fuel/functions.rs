//! The functions that a host has for the plugin (proxy-wasm ABI 0.2.1), as much as one worker's streams need of them, with
//! every call counted.

use std::collections::BTreeMap;
use wasmi::{Caller, Engine, Extern, Linker, Memory, Module, TypedFunc};

/// The lines of a header map.
pub type Lines = Vec<(Vec<u8>, Vec<u8>)>;

const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
const CAS_MISMATCH: u32 = 8;

/// What the plugin sees of the world, and how often it has asked.
#[derive(Default)]
pub struct World {
    pub calls: BTreeMap<&'static str, u64>,
    pub headers: BTreeMap<u32, Lines>,
    pub buffers: BTreeMap<u32, Vec<u8>>,
    pub shared: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
    pub has_replied: bool,
    pub nanoseconds: u64,
}

/// The plugin's memory.
pub fn memory(export: Option<Extern>) -> Memory {
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
pub fn linker(engine: &Engine, module: &Module) -> Linker<World> {
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
