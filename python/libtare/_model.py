"""A planned checkpoint: a mapping of parameter names to tensors, and what can be done with it."""
import collections.abc
import json
import os

from libtare import _text
from libtare._base import Code, Error, Watch, bar, call, ffi, lib, new_error, string, taken, utf8
from libtare._tensor import VIEWS, Tensor

TIES = {"auto": lib.TARE_TIE_AUTO, "config": lib.TARE_TIE_CONFIG, "proved": lib.TARE_TIE_PROVED, "keep": lib.TARE_TIE_KEEP}
ZEROS = {"auto": lib.TARE_ZEROS_AUTO, "v1": lib.TARE_ZEROS_V1, "v2": lib.TARE_ZEROS_V2}


class Tensors(collections.abc.Mapping):
    """Names of one view -> tensors, in the plan's order."""

    def __init__(self, model, view):
        self._owner, self._view = model, view
        n = lib.tare_model_names(model._model, VIEWS[view], ffi.NULL, 0)
        names = ffi.new("const char *[]", n)
        lib.tare_model_names(model._model, VIEWS[view], names, n)
        self._names = dict.fromkeys(string(names[k]) for k in range(n))

    def __getitem__(self, name):
        try:
            return Tensor(self._owner, name, self._view)
        except Error as e:
            if e.code == Code.ABSENT and name not in self._names:
                raise KeyError(name) from e
            raise

    def __iter__(self):
        return iter(self._names)

    def __len__(self):
        return len(self._names)

    def __contains__(self, name):
        return name in self._names or (isinstance(name, str) and name + ".weight" in self._names)


class Model(collections.abc.Mapping):
    """A checkpoint as tare plans it. model["model.embed_tokens.weight"] is a Tensor, by mlx-lm's names after rewriting;
    model.sources has the checkpoint's own modules. Threads may share it."""

    def __init__(self, path, tie="auto", zeros="auto", dequantize=None, no_data=False, no_map=False, threads=0, check=True):
        options = ffi.new("struct tare_options *")
        options.size = ffi.sizeof("struct tare_options")
        pattern = ffi.new("char[]", dequantize.encode()) if dequantize else ffi.NULL
        options.tie, options.zeros, options.dequantize = TIES[tie], ZEROS[zeros], pattern
        options.no_data, options.no_map, options.threads = no_data, no_map, threads
        self.path = os.fspath(path)
        at, err = ffi.new("tare_model **"), new_error()
        code = lib.tare_plan(at, utf8(path), options, err)
        if at[0] != ffi.NULL:
            self._model = ffi.gc(at[0], lib.tare_model_free)
        if code and (check or at[0] == ffi.NULL):
            raise Error(code, string(err.where), string(err.text))
        self.loads = code == lib.TARE_OK
        self._parameters, self._sources = Tensors(self, "parameter"), None
        self._tokenizer = self._template = None

    def __getitem__(self, name):
        return self._parameters[name]

    def __iter__(self):
        return iter(self._parameters)

    def __len__(self):
        return len(self._parameters)

    def __contains__(self, name):
        return name in self._parameters

    def __repr__(self):
        return "<libtare.Model %s, %d parameters>" % (self.path, len(self))

    @property
    def sources(self):
        """The checkpoint's own modules, neither stacked nor split."""
        if self._sources is None:
            self._sources = Tensors(self, "source")
        return self._sources

    @property
    def report(self):
        """The plan as `tare check --json` prints it (docs/json.md)."""
        return json.loads(taken(lib.tare_model_json(self._model, False)))

    def explain(self, name):
        """The way of a tensor, in words; KeyError: there is none of this name."""
        text = lib.tare_model_explain(self._model, utf8(name), False)
        if text == ffi.NULL:
            raise KeyError(name)
        return taken(text)

    def file(self, name):
        """The bytes of a small file of the checkpoint: "config.json"; of GGUF what is made of its metadata."""
        text, size = ffi.new("char **"), ffi.new("size_t *")
        call(lib.tare_model_file, self._model, utf8(name), text, size)
        try:
            return ffi.buffer(text[0], size[0])[:]
        finally:
            lib.tare_text_free(text[0])

    @property
    def config(self):
        """config.json."""
        return json.loads(self.file("config.json"))

    def convert_config(self, to="mlx"):
        """The config.json that convert(to=..) would write."""
        text = ffi.new("char **")
        call(lib.tare_convert_config, self._model, to.encode(), text)
        return json.loads(taken(text[0]))

    def convert(self, folder, to="mlx", dtype=None, exact=False, keep_dtypes=False, proof=False, threads=0, shard_size=0, progress=None):
        """Write the model in another format; the notes about what was rounded come back as (where, text)."""
        options = ffi.new("struct tare_convert_options *")
        options.size = ffi.sizeof("struct tare_convert_options")
        keep = [ffi.new("char[]", to.encode()), ffi.new("char[]", dtype.encode()) if dtype else ffi.NULL]
        watch = Watch(bar(progress))
        options.to, options.dtype, options.exact, options.keep_dtypes = keep[0], keep[1], exact, keep_dtypes
        options.proof, options.threads, options.shard_size, options.note = proof, threads, shard_size, lib.libtare_note
        watch.put(options)
        err = new_error()
        code = lib.tare_convert(self._model, utf8(folder), options, err)
        watch.done()
        if code:
            raise Error(code, string(err.where), string(err.text))
        return watch.notes

    def diff(self, other, threads=0):
        """Compare with another model; the report as `tare diff --json` prints it."""
        options, at = ffi.new("struct tare_diff_options *"), ffi.new("tare_diff **")
        options.size, options.threads = ffi.sizeof("struct tare_diff_options"), threads
        call(lib.tare_diff_open, at, self._model, other._model, options)
        diff = ffi.gc(at[0], lib.tare_diff_free)
        return json.loads(taken(lib.tare_diff_json(diff)))

    def verify(self, hashes=True, values=True, threads=0, progress=None):
        """Hashes of files, and what is wrong among the numbers; the report as `tare verify --json` prints it."""
        options, at, watch = ffi.new("struct tare_verify_options *"), ffi.new("tare_verify **"), Watch(bar(progress))
        options.size, options.threads = ffi.sizeof("struct tare_verify_options"), threads
        options.no_hash, options.no_values = not hashes, not values
        watch.put(options)
        err = new_error()
        code = lib.tare_verify_open(at, self._model, options, err)
        watch.done()
        if code:
            raise Error(code, string(err.where), string(err.text))
        verify = ffi.gc(at[0], lib.tare_verify_free)
        return json.loads(taken(lib.tare_verify_json(verify)))

    def session(self, **options):
        """A new session; see Session."""
        return _text.Session(self, **options)

    @property
    def tokenizer(self):
        if self._tokenizer is None:
            self._tokenizer = _text.Tokenizer(self.path)
        return self._tokenizer

    @property
    def template(self):
        if self._template is None:
            self._template = _text.Template(self.path)
        return self._template

    def generate(self, prompt, max_tokens=0, session=None, **options):
        """Continue a text: an iterator over its pieces. options: temperature, top_p, seed .., stop, schema, grammar."""
        ids = self.tokenizer.encode(prompt) if isinstance(prompt, str) else prompt
        return _text.generate(session or self.session(), self.tokenizer, ids, max_tokens, **options)

    def chat(self, messages, max_tokens=0, session=None, tools=None, variables=None, **options):
        """Answer a conversation through the model's chat template: an iterator over the pieces of the answer."""
        text = self.template.render(messages, tools, True, **(variables or {}))
        ids = self.tokenizer.encode(text, special=False)
        return _text.generate(session or self.session(), self.tokenizer, ids, max_tokens, **options)
