"""A planned checkpoint: a mapping of parameter names to tensors, and what can be done with it."""
import dataclasses
import json
import os
import threading
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

from libtare import _text
from libtare._base import (CData, Code, Error, Host, Progress, Threads, Watch, call, new_error, optional, own, put_threads, sized, string,
                            taken, utf8, word)
from libtare._libtare import ffi, lib
from libtare._tensor import VIEWS, Tensor

TIES = {"auto": lib.TARE_TIE_AUTO, "config": lib.TARE_TIE_CONFIG, "proved": lib.TARE_TIE_PROVED, "keep": lib.TARE_TIE_KEEP}
ZEROS = {"auto": lib.TARE_ZEROS_AUTO, "v1": lib.TARE_ZEROS_V1, "v2": lib.TARE_ZEROS_V2}
Path = Union[str, "os.PathLike[str]"]
Json = Dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Source:
    """A tensor of the checkpoint's files, and what became of it: struct tare_source_info."""
    name: str
    dtype: str
    shape: Tuple[int, ...]
    file: str
    offset: int
    bytes: int
    fate: str
    rule: Optional[str]


@dataclasses.dataclass(frozen=True)
class Quantized:
    """What Model.quantize() did: modules in all, those that an earlier run had written, and those that were rounded."""
    modules: int
    kept: int
    rounded: int


class Tensors(Mapping[str, Tensor]):
    """Names of one view -> tensors, in the plan's order."""

    def __init__(self, model: "Model", view: str) -> None:
        self._owner, self._view, plan = model, view, model.handle()
        n = lib.tare_model_names(plan, VIEWS[view], ffi.NULL, 0)
        names = ffi.new("const char *[]", n)
        lib.tare_model_names(plan, VIEWS[view], names, n)
        self._names = dict.fromkeys(string(names[k]) for k in range(n))

    def __getitem__(self, name: str) -> Tensor:
        try:
            return Tensor(self._owner, name, self._view)
        except Error as e:
            if e.code == Code.ABSENT and name not in self._names:
                raise KeyError(name) from e
            raise

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self._names or name + ".weight" in self._names)


class Model(Mapping[str, Tensor]):
    """A checkpoint as tare plans it. model["model.embed_tokens.weight"] is a Tensor, by mlx-lm's names after rewriting;
    model.sources has the checkpoint's own modules. Threads may share it. Tensors and sessions keep what they need of it, so closing
    (or leaving `with`) only ends what is asked of the model itself; a call that is under way in another thread ends in peace."""

    def __init__(self, path: Path, tie: str = "auto", zeros: str = "auto", dequantize: Optional[str] = None, no_data: bool = False,
                 no_map: bool = False, threads: Union[int, Threads] = 0, check: bool = True, files: Optional[Mapping[str, bytes]] = None,
                 host: Optional[Host] = None, progress: Progress = None) -> None:
        self.path = os.fspath(path)
        self._asked: Dict[str, Any] = {"tie": tie, "zeros": zeros, "dequantize": dequantize, "no_data": no_data, "no_map": no_map,
                                       "threads": threads, "check": check, "files": files, "host": host, "progress": progress}
        self._options, self._kept = _options(files, host, no_map)
        options, watch, pattern = self._options, Watch(progress), word(dequantize)
        options.tie, options.zeros, options.dequantize = TIES[tie], ZEROS[zeros], pattern
        self._kept.append(pattern)
        options.no_data = no_data
        put_threads(options, threads)
        watch.put(options)
        at, err = ffi.new("tare_model **"), new_error()
        code = watch.run(lib.tare_plan, at, utf8(path), options, err)
        self._plan: Optional[CData] = None
        if at[0] != ffi.NULL:
            self._plan = own(at[0], lib.tare_model_free, self._kept)
        if watch.raised is not None:
            raise watch.raised
        if code and (check or self._plan is None):
            raise Error(code, string(err.where), string(err.text))
        options.progress, options.user = ffi.NULL, ffi.NULL  # they were for tare_plan() alone
        self.loads = code == lib.TARE_OK
        self._parameters = Tensors(self, "parameter")
        self._lazy: Dict[str, Any] = {}
        self._lock = threading.Lock()

    def handle(self) -> CData:
        """The tare_model of C. ValueError: the model is closed."""
        plan = self._plan
        if plan is None:
            raise ValueError("the model %s is closed" % self.path)
        return plan

    def close(self) -> None:
        """Let go of the plan; its memory is freed when no tensor, session or call uses it any more."""
        self._plan = None

    def again(self, **options: Any) -> "Model":
        """Plan the same checkpoint with other options; patterns of dequantize add up."""
        patterns = [self._asked["dequantize"], options.get("dequantize")]
        merged = {**self._asked, **options, "dequantize": ",".join(p for p in patterns if p) or None}
        return Model(self.path, **merged)

    def __enter__(self) -> "Model":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getitem__(self, name: str) -> Tensor:
        return self._parameters[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __len__(self) -> int:
        return len(self._parameters)

    def __contains__(self, name: object) -> bool:
        return name in self._parameters

    def __eq__(self, other: object) -> bool:
        return self is other  # a Mapping compares its items, which here would read every weight

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return "<libtare.Model %s, %d parameters%s>" % (self.path, len(self), "" if self._plan is not None else ", closed")

    def _once(self, name: str, make: Any) -> Any:
        with self._lock:
            if name not in self._lazy:
                self._lazy[name] = make()
            return self._lazy[name]

    @property
    def sources(self) -> Tensors:
        """The checkpoint's own modules, neither stacked nor split."""
        tensors: Tensors = self._once("sources", lambda: Tensors(self, "source"))
        return tensors

    @property
    def files(self) -> List[Source]:
        """Each tensor in the files of the checkpoint: where it lies, and what became of it."""
        plan = self.handle()
        n = lib.tare_model_sources(plan, ffi.NULL, 0)
        rows = ffi.new("struct tare_source_info[]", n)
        if n:
            rows[0].size = ffi.sizeof("struct tare_source_info")
        lib.tare_model_sources(plan, rows, n)
        return [Source(string(r.name), string(r.dtype), tuple(r.shape[i] for i in range(r.rank)), string(r.file), r.offset, r.bytes,
                       string(r.fate), optional(r.rule)) for r in rows]

    @property
    def report(self) -> Json:
        """The plan as `tare explain --json` prints it (docs/json.md)."""
        report: Json = json.loads(taken(lib.tare_model_json(self.handle(), True)))
        return report

    def explain(self, name: str) -> str:
        """The way of a tensor, in words; KeyError: there is none of this name."""
        text = lib.tare_model_explain(self.handle(), utf8(name), False)
        if text == ffi.NULL:
            raise KeyError(name)
        return taken(text)

    def file(self, name: str) -> bytes:
        """The bytes of a small file of the checkpoint: "config.json"; of GGUF what is made of its metadata."""
        text, size = ffi.new("char **"), ffi.new("size_t *")
        call(lib.tare_model_file, self.handle(), utf8(name), text, size)
        try:
            data: bytes = ffi.buffer(text[0], size[0])[:]
            return data
        finally:
            lib.tare_text_free(text[0])

    @property
    def config(self) -> Json:
        """config.json."""
        config: Json = json.loads(self.file("config.json"))
        return config

    def convert_config(self, to: str = "mlx") -> Json:
        """The config.json that convert(to=..) would write."""
        text = ffi.new("char **")
        call(lib.tare_convert_config, self.handle(), to.encode(), text)
        config: Json = json.loads(taken(text[0]))
        return config

    def convert(self, folder: Path, to: str = "mlx", dtype: Optional[str] = None, exact: bool = False, keep_dtypes: bool = False,
                proof: bool = False, threads: Union[int, Threads] = 0, shard_size: int = 0, progress: Progress = None) -> List[Tuple[str, str]]:
        """Write the model in another format; the notes about what was rounded come back as (where, text)."""
        options, kept, watch = sized("tare_convert_options"), (word(to), word(dtype)), Watch(progress)
        options.to, options.dtype = kept
        options.exact, options.keep_dtypes, options.proof = exact, keep_dtypes, proof
        options.shard_size, options.note = shard_size, lib.libtare_note
        put_threads(options, threads)
        watch.put(options)
        watch.call(lib.tare_convert, self.handle(), utf8(folder), options)
        return watch.notes

    def quantize(self, folder: Path, to: str = "mlx", *, bits: int = 0, group: int = 0, mode: Optional[str] = None, recipe: Optional[str] = None,
                 type: Optional[str] = None, pure: bool = False, keep_head: bool = False, rules: Optional[Mapping[str, str]] = None,
                 dtype: Optional[str] = None, threads: Union[int, Threads] = 0, shard_size: int = 0, progress: Progress = None) -> Quantized:
        """Round the floats to few bits, as `tare quantize` does; rules: {"model.layers.*.mlp.down_proj": "8", "lm_head": "float"}, the
        first that fits counts."""
        options, kept, watch = sized("tare_quantize_options"), [word(w) for w in (to, mode, recipe, type, dtype)], Watch(progress)
        done, texts = sized("tare_convert_summary"), [utf8("%s=%s" % rule) for rule in (rules or {}).items()]
        items = [ffi.new("char[]", text) for text in texts]
        listed = ffi.new("const char *[]", items or [ffi.NULL])
        options.to, options.mode, options.recipe, options.type, options.dtype = kept
        options.bits, options.group, options.pure, options.keep_head = bits, group, pure, keep_head
        options.rules, options.n_rules, options.shard_size, options.summary = listed, len(items), shard_size, done
        put_threads(options, threads)
        watch.put(options)
        watch.call(lib.tare_quantize, self.handle(), utf8(folder), options)
        return Quantized(done.modules, done.kept, done.one_way)

    def diff(self, other: "Model", threads: Union[int, Threads] = 0, progress: Progress = None, relative: bool = False) -> Json:
        """Compare with another model; the report as `tare diff --json` prints it. relative: also the relative error of what differs."""
        options, at, watch, plans = sized("tare_diff_options"), ffi.new("tare_diff **"), Watch(progress), (self.handle(), other.handle())
        options.relative = relative
        put_threads(options, threads)
        watch.put(options)
        watch.call(lib.tare_diff_open, at, *plans, options)
        report: Json = json.loads(taken(lib.tare_diff_json(own(at[0], lib.tare_diff_free, plans))))
        return report

    def verify(self, hashes: bool = True, values: bool = True, threads: Union[int, Threads] = 0, progress: Progress = None) -> Json:
        """Hashes of files, and what is wrong among the numbers; the report as `tare verify --json` prints it."""
        options, at, watch, plan = sized("tare_verify_options"), ffi.new("tare_verify **"), Watch(progress), self.handle()
        options.no_hash, options.no_values = not hashes, not values
        put_threads(options, threads)
        watch.put(options)
        watch.call(lib.tare_verify_open, at, plan, options)
        report: Json = json.loads(taken(lib.tare_verify_json(own(at[0], lib.tare_verify_free, plan))))
        return report

    def session(self, context: int = 0, threads: Union[int, Threads] = 0, exact: bool = False, kv_bits: int = 0, memory: int = 0,
                kernels: Optional[str] = None) -> "_text.Session":
        """A new, empty text of the model. The first session lays the weights out for the processor; later ones share them."""
        return _text.Session(self, context, threads, exact, kv_bits, memory, kernels)

    @property
    def tokenizer(self) -> "_text.Tokenizer":
        tokenizer: _text.Tokenizer = self._once("tokenizer", lambda: _text.Tokenizer(self.path, self._options))
        return tokenizer

    @property
    def template(self) -> "_text.Template":
        """The chat template. Error ABSENT: the model has none."""
        template: _text.Template = self._once("template", lambda: _text.Template(self.path, options=self._options))
        return template

    def generate(self, prompt: Union[str, Sequence[int]], max_tokens: int = 0, session: Optional["_text.Session"] = None,
                 **options: Any) -> "_text.Generation":
        """Continue a text: an iterator over its pieces. options: those of Generation (temperature, top_p, seed .., stop, schema,
        grammar)."""
        ids = self.tokenizer.encode(prompt) if isinstance(prompt, str) else prompt
        return _text.Generation(session or self.session(), self.tokenizer, ids, max_tokens, **options)

    def chat(self, messages: Sequence[Mapping[str, Any]], max_tokens: int = 0, session: Optional["_text.Session"] = None,
             tools: Optional[Sequence[Any]] = None, variables: Optional[Mapping[str, Any]] = None, **options: Any) -> "_text.Generation":
        """Answer a conversation through the model's chat template: an iterator over the pieces of the answer."""
        text = self.template.render(messages, tools, True, **(variables or {}))
        ids = self.tokenizer.encode(text, special=False)
        return _text.Generation(session or self.session(), self.tokenizer, ids, max_tokens, **options)


def _options(files: Optional[Mapping[str, bytes]], host: Optional[Host], no_map: bool) -> Tuple[CData, List[Any]]:
    """tare_options for a checkpoint on disk, in memory or of a host, and what its pointers point to."""
    kept: List[Any] = []
    options = sized("tare_options")
    options.no_map = no_map
    if host is not None:
        kept.append(host)
        options.host = host.host
    if files is not None:
        rows = ffi.new("struct tare_memory_file[]", len(files))
        kept.append(rows)
        for row, (name, data) in zip(rows, files.items()):
            held = (word(name), ffi.from_buffer(data))
            kept.append(held)
            row.name, row.data, row.size = held[0], held[1], len(held[1])
        options.files, options.n_files = rows, len(files)
    return options, kept
