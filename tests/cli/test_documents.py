#!/usr/bin/env python3
"""test_documents.py TARE BUILD Tables|Pages|Examples|Bash|Zsh|Fish: help, manual and completions, which the tables of verbs make.

BUILD has man/ and completion/, as they are installed. The shells are driven for real: bash by COMP_WORDS, zsh at a terminal, fish by
`complete -C`. Without the shell, or without mandoc and man, the exit status is 77: the test was skipped."""
import glob
import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SKIPPED = 77
sys.path.insert(0, os.path.join(ROOT, "tests/hub"))
from fakehub import Hub  # noqa: E402  a hub on the loopback


def run(*args, **more):
    return subprocess.run(args, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=True, **more).stdout


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def verbs():
    return re.findall(r"^VERB\((\w+)\)", read(os.path.join(ROOT, "cli/verbs.def")), re.M)


def flags(verb):
    """The flags of a verb as its help lists them: name, letter or None, placeholder or None."""
    found = re.findall(r"^  (?:-(\w), )?--([a-z-]+)(?: (\S+))? ", run(TARE, "help", verb), re.M)
    return [(name, letter or None, value or None) for letter, name, value in found]


def formats():
    [line] = [line for line in run(TARE, "help", "convert").splitlines() if line.startswith("  --to ")]
    return re.split(r", | or ", line.split(": ")[1])


def types():
    return sorted({t["model_type"] for t in json.loads(run(TARE, "models", "--json"))})


class Tables(unittest.TestCase):
    def test_verbs(self):
        """A verb has its line of verbs.def, its line of the help, a file and a page."""
        self.assertEqual(re.findall(r"^  tare ([a-z]+) +[A-Z[]", run(TARE, "help"), re.M)[:-1], verbs())
        for page in ["tare.1"] + ["tare-%s.1" % verb for verb in verbs()]:
            self.assertTrue(os.path.exists(os.path.join(BUILD, "man", page)), page)
        sources = "".join(map(read, glob.glob(ROOT + "/cli/**/*.c", recursive=True)))
        self.assertEqual(sorted(re.findall(r"^const struct cli_verb cli_(\w+) =", sources, re.M)), sorted(verbs()))

    def test_flags(self):
        """The tables and the help have the same flags: a flag is neither unknown to the parser nor missing in the help."""
        for verb in verbs():
            found = flags(verb)
            self.assertIn(("help", None, None), found)
            self.assertLess(len(found), 64)  # CLI_FLAGS
            for name, letter, value in found[:-1]:
                for flag in ["--" + name] + (["-" + letter] if letter else []):
                    done = subprocess.run([TARE, verb, flag if value else flag + "=x"], capture_output=True, text=True, check=False)
                    says = "needs a value" if value else "takes no value"
                    self.assertEqual((done.returncode, done.stderr), (2, "tare: %s: --%s %s\n" % (verb, name, says)))

    def test_excluded(self):
        for args in (["run", "--grammar", "a", "--json-schema", "b"], ["repair", "x", "--undo", "-o", "y"], ["repair", "x", "--undo", "--in-place"]):
            done = subprocess.run([TARE, *args], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 2)
            self.assertRegex(done.stderr, r"\Atare: %s: --[a-z-]+ or --[a-z-]+, not both\n\Z" % args[0])

    def test_needed(self):
        for args, what in ((["repair"], "MODEL"), (["diff", "a"], "B"), (["perplexity", "a"], "FILE"), (["convert"], "-o DIR"), (["logits"], "--ids 1,2,3"),
                           (["completion"], "SHELL")):
            done = subprocess.run([TARE, *args], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 2)
            self.assertRegex(done.stderr, r"\Atare: %s: %s is needed[:;] [^\n]+\n\Z" % (args[0], re.escape(what)))

    def test_models(self):
        self.assertEqual([t["model_type"] for t in json.loads(run(TARE, "models", "qwen2", "--json"))], ["qwen2"])
        self.assertRegex(run(TARE, "models", "qwen2"), r"\A[^\n]+\nqwen2 +qwen2 +yes [^\n]+\n\Z")
        done = subprocess.run([TARE, "models", "qwen22"], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("the nearest is qwen2", done.stderr)

    def test_unknown_shell(self):
        done = subprocess.run([TARE, "completion", "tcsh"], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("bash, zsh or fish", done.stderr)


class Pages(unittest.TestCase):
    def page(self, name):
        return read(os.path.join(BUILD, "man", name + ".1"))

    def test_sections(self):
        for verb in verbs():
            self.assertEqual(re.findall(r"^\.SH (.+)$", self.page("tare-" + verb), re.M),
                             ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "EXAMPLES", "SEE ALSO"])

    def test_flags(self):
        """The options of a page are the flags of the help."""
        for verb in verbs():
            options = self.page("tare-" + verb).split("\n.SH OPTIONS\n")[1].split("\n.SH ")[0].replace("\\-", "-")
            found = re.findall(r"^\.TP\n(?:\\fB-(\w)\\fR, )?\\fB--([a-z-]+)\\fR(?: \\fI(\S+)\\fR)?$", options, re.M)
            self.assertEqual([(name, letter or None if name != "help" else None, value or None) for letter, name, value in found], flags(verb))

    def test_references(self):
        """A page refers to pages that exist."""
        for verb in verbs():
            see = self.page("tare-" + verb).split("\n.SH SEE ALSO\n")[1].replace("\\-", "-")
            names = re.findall(r"^\.BR (\S+) \(1\),?$", see, re.M)
            self.assertEqual(names[0], "tare")
            self.assertGreater(len(names), 1)
            for name in names:
                self.assertTrue(os.path.exists(os.path.join(BUILD, "man", name + ".1")), name)
        for verb in verbs():
            self.assertIn(".BR tare\\-%s (1)" % verb, self.page("tare"))

    def test_exit_status(self):
        """The page of a verb that opens a model has each exit status and code of tare.h."""
        codes = re.findall(r"^    X\(\d+, (\w+), (\d+), \"([^\"]+)\"\)", read(os.path.join(ROOT, "include/tare/base.h")), re.M)
        self.assertGreater(len(codes), 10)
        text = self.page("tare-convert").split("\n.SH EXIT STATUS\n")[1].split("\n.SH ")[0]
        for name, status, says in codes:
            self.assertIn("\n.B %s\n" % status, text)
            if status not in "02":
                self.assertIn("%s: %s." % (name, says), " ".join(text.split()))

    def test_lint(self):
        """mandoc and groff have nothing to say."""
        files = [os.path.join(BUILD, "man", page + ".1") for page in ["tare"] + ["tare-" + verb for verb in verbs()]]
        done = subprocess.run(["mandoc", "-Tlint", *files], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        for file in files:
            done = subprocess.run(["man", "--warnings", "-l", file], capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C.UTF-8"})
            self.assertEqual((done.returncode, done.stderr), (0, ""), file)
            self.assertIn("EXIT STATUS", done.stdout)


class Examples(unittest.TestCase):
    def test_run(self):
        """The examples of the manual do what they say, in the root of the repository with a model ORG/NAME in the cache."""
        with tempfile.TemporaryDirectory() as folder:
            for name in ("models", "examples"):
                os.symlink(os.path.join(ROOT, name), os.path.join(folder, name))
            model = os.path.join(folder, "hub/models--ORG--NAME")
            shutil.copytree(os.path.join(ROOT, "models/fable"), model + "/snapshots/0123")
            os.mkdir(model + "/refs")
            with open(model + "/refs/main", "w", encoding="utf-8") as f:
                f.write("0123")
            with open(model + "/snapshots/0123/chat_template.jinja", "w", encoding="utf-8") as f:
                f.write("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}")
            os.mkdir(folder + "/bin")
            os.symlink(TARE, folder + "/bin/tare")
            hub = self.enterContext(Hub())
            hub.repo("ORG/NAME", dir=os.path.join(ROOT, "models/fable"))
            hub.repo("ORG/qwen3-awq", dir=os.path.join(ROOT, "models/fable"))
            env = {**os.environ, "PATH": folder + "/bin:" + os.environ["PATH"], "HF_HUB_CACHE": folder + "/hub", "HF_ENDPOINT": hub.hub}
            for verb in sorted(verbs(), key="rm".__eq__):  # what it removes others use
                examples = re.findall(r"^\.EX\n(.*)\n\.EE$", read(os.path.join(BUILD, "man/tare-%s.1" % verb)), re.M)
                self.assertTrue(examples, verb)
                for command in examples:
                    command = re.sub(r"\\\((dq|aq|ti|ha|ga)", lambda m: {"dq": '"', "aq": "'", "ti": "~", "ha": "^", "ga": "`"}[m[1]], command).replace("\\-", "-")
                    with self.subTest(command):
                        done = subprocess.run(["bash", "-c", command], cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
                        self.assertEqual(done.returncode, 0, done.stderr)
                        self.assertNotIn("tare: ", done.stderr.replace("tare: note: ", ""))


class Shell:
    """The queries that each shell answers. answers(lines) gives for each line what is offered for its last word: the words without what a shell
    adds, a space or a slash. A folder has what can be a model."""

    @classmethod
    def setUpClass(cls):
        cls.made = tempfile.TemporaryDirectory()
        cls.folder = cls.made.name
        for name in ("weights", "with space", "hub/models--org--name"):
            os.makedirs(os.path.join(cls.folder, name))
        for name in ("a.gguf", "b.safetensors", "notes.txt"):
            with open(os.path.join(cls.folder, name), "w", encoding="utf-8"):
                pass
        # A tare that is called while a word is completed leaves a trace.
        os.mkdir(cls.folder + "/bin")
        with open(cls.folder + "/bin/tare", "w", encoding="utf-8") as f:
            f.write("#!/bin/sh\necho called >'%s/called'\n" % cls.folder)
        os.chmod(cls.folder + "/bin/tare", 0o755)
        cls.env = {**os.environ, "PATH": cls.folder + "/bin:" + os.environ["PATH"], "HF_HUB_CACHE": cls.folder + "/hub", "HOME": cls.folder,
                   "XDG_CONFIG_HOME": cls.folder + "/bin", "XDG_DATA_HOME": cls.folder + "/bin", "LC_ALL": "C.UTF-8", "TERM": "xterm"}

    @classmethod
    def tearDownClass(cls):
        cls.made.cleanup()

    def complete(self, line):
        return self.answers([line])[0]

    def offers(self, line, *want):
        self.assertEqual(sorted(set(self.complete(line))), sorted(want), line)

    def test_verbs(self):
        self.assertEqual(set(self.complete("tare ")), set(verbs()))
        self.offers("tare con", "convert")
        self.offers("tare help ", *verbs())
        self.offers("tare help --man comp", "completion")
        self.assertIn("--version", self.complete("tare --"))

    def test_each_flag(self):
        """Every flag of every verb is offered, and once it was given no more, but for those that may come again."""
        for verb in verbs():
            want = ["--" + name for name, _, _ in flags(verb)]
            again = re.findall(r"^  --([a-z-]+) .*; may come again$", run(TARE, "help", verb), re.M) + ["help"]
            once = [(name, value) for name, _, value in flags(verb) if name not in again]
            lines = ["tare %s --%s%s --" % (verb, name, " 1" if value else "") for name, value in once]
            got, *rest = self.answers(["tare %s --" % verb] + lines)
            self.assertEqual(sorted(got), sorted(want), verb)
            for (name, _), offered in zip(once, rest, strict=True):
                self.assertNotIn("--" + name, offered, verb)
                self.assertIn("--help", offered)

    def test_repeated_and_excluded(self):
        self.offers("tare run --stop x --st", "--stop")
        self.assertEqual({"--in-place", "--undo", "--output"} & set(self.complete("tare repair m --undo --")), set())
        self.assertEqual({"--in-place", "--undo", "--output"} & set(self.complete("tare repair m -o x --")), set())
        self.assertNotIn("--grammar", self.complete("tare run --json-schema x --"))

    def test_values(self):
        for way in ("--to ", "--to="):
            self.offers("tare convert " + way, *formats())
            self.offers("tare convert " + way + "gptq", "gptq", "gptq_v2")
            self.offers("tare convert weights -o x " + way + "aw", "awq")
        self.offers("tare check --tie ", "auto", "config", "proved", "keep")
        self.offers("tare check weights --zeros=", "auto", "v1", "v2")
        self.offers("tare bench --kernels avx", "avx2", "avx512")
        self.offers("tare run --kv-bits ", "32", "16", "8", "4")
        self.offers("tare completion ", "bash", "zsh", "fish")
        self.offers("tare convert --threads ")

    def test_types(self):
        self.assertGreater(len(types()), 90)
        self.offers("tare models ", *types())
        self.offers("tare models --json qwen2_m", "qwen2_moe")

    def test_models(self):
        models = ["a.gguf", "b.safetensors", "bin", "fable", "hub", "org/name", "weights", "with space"]
        self.offers("tare check ", *models)
        self.offers("tare check --tie auto a", "a.gguf")
        self.offers("tare diff weights b", "b.safetensors", "bin")
        self.offers("tare check org", "org/name")
        self.offers("tare check we", "weights")

    def test_files_and_folders(self):
        self.offers("tare perplexity fable n", "notes.txt")
        self.offers("tare perplexity --context 4 n")
        self.offers("tare run --grammar n", "notes.txt")
        self.offers("tare run --grammar=n", "notes.txt")
        self.offers("tare convert -o w", "weights", "with space")
        self.offers("tare convert -o n")
        self.offers("tare convert --output=we", "weights")
        self.offers("tare check fable n")

    def test_tare_is_not_called(self):
        self.complete("tare models q")
        self.complete("tare check ")
        self.assertFalse(os.path.exists(self.folder + "/called"))


class Bash(Shell, unittest.TestCase):
    breaks = "="

    def script(self, line):
        """bash cuts a line at COMP_WORDBREAKS before the function is called, so this does, too."""
        words = []
        for word in line.split(" "):
            words += [w for w in re.split("([%s])" % self.breaks, word) if w] or [""] if self.breaks else [word]
        if line.endswith(self.breaks or " "):
            words += [] if line.endswith(" ") or self.breaks in line[-1] else [""]
        quoted = " ".join("'%s'" % w for w in words)
        return "COMP_WORDS=(%s); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _tare; printf '%%s\\n' \"${COMPREPLY[@]}\"" % quoted

    def answers(self, lines):
        script = "source '%s/completion/tare'; %s" % (BUILD, "; ".join(self.script(line) + "; echo '#end'" for line in lines))
        out = run("bash", "--norc", "-c", script, cwd=self.folder, env=self.env)
        return [[word for word in part.splitlines() if word] for part in out.split("#end\n")[:-1]]

    def test_words_that_are_not_cut(self):
        """COMP_WORDBREAKS without "=" leaves --to=gguf one word."""
        self.breaks = ""
        self.offers("tare convert --to=gp", "--to=gptq", "--to=gptq_v2")
        self.offers("tare convert --output=we", "--output=weights")
        self.offers("tare check --tie=auto a", "a.gguf")

    def test_registered(self):
        out = run("bash", "--norc", "-c", "source <('%s' completion bash); complete -p tare" % TARE)
        self.assertEqual(out, "complete -F _tare tare\n")

    def test_clean(self):
        """Sourcing leaves nothing behind but its functions, and says nothing, even with -u."""
        done = subprocess.run(["bash", "--norc", "-uc", "a=$(compgen -v | sort); source '%s/completion/tare'; unset a; compgen -A function | sort" % BUILD],
                              capture_output=True, text=True, check=True)
        self.assertEqual(done.stderr, "")
        self.assertTrue(all(name.startswith("_tare") for name in done.stdout.split()))


class Fish(Shell, unittest.TestCase):
    def answers(self, lines):
        script = "source $argv[1]; for line in $argv[2..]; complete -C $line; echo '#end'; end"
        out = run("fish", "--no-config", "-c", script, BUILD + "/completion/tare.fish", *lines, cwd=self.folder, env=self.env)
        return [self.words(line, part) for line, part in zip(lines, out.split("#end\n"))]

    @staticmethod
    def words(line, out):
        """Where nothing begins as the word does, fish offers what has its letters anywhere; that is left out."""
        words = [word.split("\t")[0].rstrip("/").replace("\\ ", " ") for word in out.splitlines()]
        last = line.rsplit(" ", 1)[1]
        words = [word for word in words if word.startswith(last) and word != "-h"]
        return [word.split("=", 1)[1] if last.startswith("--") and "=" in last else word for word in words]


class Zsh(Shell, unittest.TestCase):
    """An interactive zsh at a terminal. A compadd of ours writes what the real one takes into a file."""
    START = r"""
PROMPT= RPROMPT= ; setopt no_beep
fpath=($BUILD_COMPLETION $fpath)
autoload -Uz compinit && compinit -D -u
zstyle ':completion:*' completer _complete
compadd() {
    if [[ ${argv[(i)-[OAD]]} -gt $# ]]; then
        local -a hits
        builtin compadd -O hits "$@"
        print -rl -- $hits >>$OUT
    fi
    builtin compadd "$@"
}
probe() { _main_complete; compstate[insert]= compstate[list]= ; print -r -- '#end' >>$OUT }
zle -C probe complete-word probe
bindkey '^I' probe
print '#ready' >>$OUT
"""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.out = cls.folder + "/bin/out"
        start = cls.folder + "/bin/start"
        with open(start, "w", encoding="utf-8") as f:
            f.write(cls.START)
        cls.pid, cls.terminal = pty.fork()
        if cls.pid == 0:
            os.chdir(cls.folder)
            os.execvpe("zsh", ["zsh", "-f", "-i"], {**cls.env, "OUT": cls.out, "BUILD_COMPLETION": BUILD + "/completion"})
        cls.type("source '%s'\n" % start)
        cls.wait("#ready")

    @classmethod
    def tearDownClass(cls):
        os.close(cls.terminal)
        os.waitpid(cls.pid, 0)
        super().tearDownClass()

    @classmethod
    def type(cls, text):
        os.write(cls.terminal, text.encode())

    @classmethod
    def wait(cls, mark):
        """Reads what the terminal shows, which is for nobody, until the file ends with the mark."""
        end = time.monotonic() + 10
        shown = b""
        while time.monotonic() < end:
            if select.select([cls.terminal], [], [], 0.005)[0]:
                shown += os.read(cls.terminal, 65536)
            if os.path.exists(cls.out):
                with open(cls.out, encoding="utf-8") as f:
                    lines = f.read().splitlines()
                if lines[-1:] == [mark]:
                    os.unlink(cls.out)
                    return lines[:-1]
        raise TimeoutError("zsh shows: %r" % shown[-2000:])

    def answers(self, lines):
        found = []
        for line in lines:
            self.type("\x15" + line + "\t")
            found.append([word.rstrip("/").replace("\\ ", " ") for word in self.wait("#end") if word and word not in ("-h", "-V")])
        return found


NEEDS = {"Pages": ["mandoc", "man"], "Bash": ["bash"], "Zsh": ["zsh"], "Fish": ["fish"]}

if __name__ == "__main__":
    TARE, BUILD, CLASS = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), sys.argv[3]
    for tool in NEEDS.get(CLASS, []):
        if not shutil.which(tool):
            print("skipped: no %s" % tool)
            sys.exit(SKIPPED)
    unittest.main(argv=sys.argv[:1] + [CLASS] + sys.argv[4:])
