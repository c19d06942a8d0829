#include "storage/formats/pickle_globals.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"

namespace ballast {
namespace {

using Name = std::pair<absl::string_view, absl::string_view>;
using NameSet = absl::flat_hash_set<Name>;
using ModuleSet = absl::flat_hash_set<absl::string_view>;

absl::string_view Python3Module(absl::string_view module) {
  constexpr std::array<Name, 8> kRenamed = {{{"__builtin__", "builtins"},
                                             {"copy_reg", "copyreg"},
                                             {"exceptions", "builtins"},
                                             {"commands", "subprocess"},
                                             {"cPickle", "pickle"},
                                             {"dummy_thread", "_thread"},
                                             {"thread", "_thread"},
                                             {"imp", "importlib"}}};
  for (const auto& [old_name, new_name] : kRenamed) {
    if (module == old_name) return new_name;
  }
  return module;
}

// Modules that hold nothing a checkpoint needs and much that runs code.
constexpr absl::string_view kUnsafeModules[] = {"os",
                                                "posix",
                                                "nt",
                                                "subprocess",
                                                "_posixsubprocess",
                                                "sys",
                                                "runpy",
                                                "pip",
                                                "importlib",
                                                "_frozen_importlib",
                                                "_frozen_importlib_external",
                                                "pkgutil",
                                                "zipimport",
                                                "ctypes",
                                                "_ctypes",
                                                "cffi",
                                                "socket",
                                                "_socket",
                                                "socketserver",
                                                "shutil",
                                                "webbrowser",
                                                "pty",
                                                "bdb",
                                                "pdb",
                                                "cProfile",
                                                "profile",
                                                "trace",
                                                "code",
                                                "codeop",
                                                "timeit",
                                                "doctest",
                                                "idlelib",
                                                "pickle",
                                                "_pickle",
                                                "shelve",
                                                "marshal",
                                                "dill",
                                                "cloudpickle",
                                                "_thread",
                                                "asyncio",
                                                "signal",
                                                "_signal",
                                                "inspect",
                                                "gc",
                                                "urllib",
                                                "urllib2",
                                                "requests",
                                                "httplib",
                                                "http.client",
                                                "http.server",
                                                "ftplib",
                                                "smtplib",
                                                "telnetlib",
                                                "xmlrpc",
                                                "xmlrpclib",
                                                "pydoc",
                                                "distutils",
                                                "setuptools",
                                                "ensurepip",
                                                "venv",
                                                "pexpect",
                                                "paramiko",
                                                "antigravity",
                                                "torch.hub",
                                                "torch.package",
                                                "torch.utils.cpp_extension",
                                                "torch.distributed.rpc",
                                                "torch.utils.collect_env",
                                                "torch.utils.bottleneck",
                                                "torch.utils._config_module"};

const ModuleSet& UnsafeModules() {
  static const auto* const kSet =
      new ModuleSet(std::begin(kUnsafeModules), std::end(kUnsafeModules));
  return *kSet;
}

constexpr Name kUnsafeNames[] = {
    {"builtins", "eval"},
    {"builtins", "exec"},
    {"builtins", "execfile"},
    {"builtins", "compile"},
    {"builtins", "open"},
    {"builtins", "file"},
    {"builtins", "input"},
    {"builtins", "raw_input"},
    {"builtins", "__import__"},
    {"builtins", "reload"},
    {"builtins", "getattr"},
    {"builtins", "setattr"},
    {"builtins", "delattr"},
    {"builtins", "apply"},
    {"builtins", "globals"},
    {"builtins", "locals"},
    {"builtins", "breakpoint"},
    {"builtins", "__dict__"},
    {"builtins", "__builtins__"},
    {"builtins", "__loader__"},
    {"builtins", "__spec__"},
    {"io", "open"},
    {"io", "open_code"},
    {"io", "FileIO"},
    {"_io", "open"},
    {"_io", "open_code"},
    {"_io", "FileIO"},
    {"codecs", "open"},
    {"operator", "attrgetter"},
    {"operator", "methodcaller"},
    {"_operator", "attrgetter"},
    {"_operator", "methodcaller"},
    {"functools", "partial"},
    {"functools", "partialmethod"},
    {"functools", "reduce"},
    {"_functools", "partial"},
    {"_functools", "reduce"},
    {"types", "FunctionType"},
    {"types", "LambdaType"},
    {"types", "CodeType"},
    {"types", "MethodType"},
    {"types", "ModuleType"},
    {"logging", "FileHandler"},
    {"logging.config", "dictConfig"},
    {"logging.config", "fileConfig"},
    {"logging.config", "listen"},
    {"numpy", "load"},
    {"numpy", "fromfile"},
    {"numpy.testing._private.utils", "runstring"},
    {"numpy.testing.utils", "runstring"},
    {"numpy.testing", "runstring"},
    {"numpy.f2py", "compile"},
    {"numpy.f2py.crackfortran", "getlincoef"},
    {"joblib", "load"},
    {"joblib.numpy_pickle", "load"},
    {"multiprocessing.util", "spawnv_passfds"},
    {"pandas", "read_pickle"},
    {"pandas", "eval"},
    {"pandas.core.computation.eval", "eval"},
    {"torch", "load"},
    {"torch.serialization", "load"},
    {"torch.serialization", "_load"},
    {"torch.storage", "_load_from_bytes"},
    {"torch.jit", "load"},
    {"torch.jit", "CompilationUnit"},
    {"torch.jit.unsupported_tensor_ops", "execWrapper"},
    {"torch._inductor.codecache", "compile_file"},
    {"torch._dynamo.guards.GuardBuilder", "get"},
    {"torch.fx.experimental.symbolic_shapes.ShapeEnv", "evaluate_guards_expression"},
    {"torch.utils.data.datapipes.utils.decoder", "basichandlers"}};

const NameSet& UnsafeNames() {
  static const auto* const kSet = new NameSet(std::begin(kUnsafeNames), std::end(kUnsafeNames));
  return *kSet;
}

constexpr Name kAllowedNames[] = {  // tensors
    {"torch._utils", "_rebuild_tensor"},
    {"torch._utils", "_rebuild_tensor_v2"},
    {"torch._utils", "_rebuild_tensor_v3"},
    {"torch._utils", "_rebuild_parameter"},
    {"torch._utils", "_rebuild_parameter_with_state"},
    {"torch._utils", "_rebuild_qtensor"},
    {"torch._utils", "_rebuild_sparse_tensor"},
    {"torch._utils", "_rebuild_sparse_csr_tensor"},
    {"torch._utils", "_rebuild_nested_tensor"},
    {"torch._utils", "_rebuild_meta_tensor_no_storage"},
    {"torch._utils", "_rebuild_wrapper_subclass"},
    {"torch._utils", "_rebuild_device_tensor_from_numpy"},
    {"torch._utils", "_rebuild_device_tensor_from_cpu_tensor"},
    {"torch._utils", "_rebuild_xla_tensor"},
    {"torch._tensor", "_rebuild_from_type"},
    {"torch._tensor", "_rebuild_from_type_v2"},
    {"torch.tensor", "_rebuild_from_type"},
    {"torch.tensor", "_rebuild_from_type_v2"},
    {"torch.nn.parameter", "Parameter"},
    {"torch.autograd.variable", "Variable"},
    {"torch.nn.parameter", "UninitializedParameter"},
    {"torch.nn.parameter", "UninitializedBuffer"},
    {"torch.serialization", "_get_layout"},
    {"torch.jit._pickle", "build_intlist"},
    {"torch.jit._pickle", "build_doublelist"},
    {"torch.jit._pickle", "build_boollist"},
    {"torch.jit._pickle", "build_tensorlist"},
    {"torch.jit._pickle", "build_tensor_from_id"},
    {"torch.jit._pickle", "restore_type_tag"},
    // torch values
    {"torch", "Size"},
    {"torch", "device"},
    {"torch", "Generator"},
    {"torch.nn.backends.thnn", "_get_thnn_function_backend"},
    // containers and plain values
    {"collections", "OrderedDict"},
    {"collections", "defaultdict"},
    {"collections", "Counter"},
    {"collections", "deque"},
    {"UserList", "OrderedDict"},
    {"UserString", "OrderedDict"},
    {"builtins", "dict"},
    {"builtins", "list"},
    {"builtins", "tuple"},
    {"builtins", "set"},
    {"builtins", "frozenset"},
    {"builtins", "bytes"},
    {"builtins", "bytearray"},
    {"builtins", "str"},
    {"builtins", "unicode"},
    {"builtins", "int"},
    {"builtins", "long"},
    {"builtins", "float"},
    {"builtins", "complex"},
    {"builtins", "bool"},
    {"builtins", "object"},
    {"builtins", "slice"},
    {"builtins", "range"},
    {"builtins", "xrange"},
    {"_codecs", "encode"},
    {"copyreg", "_reconstructor"},
    {"copyreg", "__newobj__"},
    {"copyreg", "__newobj_ex__"},
    {"datetime", "date"},
    {"datetime", "datetime"},
    {"datetime", "time"},
    {"datetime", "timedelta"},
    {"datetime", "timezone"},
    {"decimal", "Decimal"},
    {"fractions", "Fraction"},
    {"uuid", "UUID"},
    {"argparse", "Namespace"},
    {"types", "SimpleNamespace"},
    {"pathlib", "Path"},
    {"pathlib", "PosixPath"},
    {"pathlib", "WindowsPath"},
    {"pathlib", "PurePosixPath"},
    {"pathlib", "PureWindowsPath"},
    {"pathlib._local", "PosixPath"},
    {"pathlib._local", "WindowsPath"},
    {"pathlib._local", "PurePosixPath"},
    {"pathlib._local", "PureWindowsPath"},
    // numpy values
    {"numpy", "dtype"},
    {"numpy", "ndarray"},
    {"numpy.core.multiarray", "scalar"},
    {"numpy.core.multiarray", "_reconstruct"},
    {"numpy._core.multiarray", "scalar"},
    {"numpy._core.multiarray", "_reconstruct"},
    {"numpy.core.numeric", "_frombuffer"},
    {"numpy._core.numeric", "_frombuffer"},
    {"numpy.random", "__RandomState_ctor"},
    {"numpy.random._pickle", "__randomstate_ctor"},
    {"numpy.random._pickle", "__generator_ctor"},
    {"numpy.random._pickle", "__bit_generator_ctor"}};

const NameSet& AllowedNames() {
  static const auto* const kSet = new NameSet(std::begin(kAllowedNames), std::end(kAllowedNames));
  return *kSet;
}

// torch FloatTensor, torch.cuda HalfTensor: the tensor classes of 0.1.
bool IsTensorClass(absl::string_view module, absl::string_view name) {
  constexpr std::array<absl::string_view, 11> kClasses = {
      "ByteTensor",  "CharTensor",   "ShortTensor", "IntTensor",      "LongTensor", "HalfTensor",
      "FloatTensor", "DoubleTensor", "BoolTensor",  "BFloat16Tensor", "Tensor"};
  return (module == "torch" || module == "torch.cuda") &&
         std::find(kClasses.begin(), kClasses.end(), name) != kClasses.end();
}

// `os`, or a submodule of it.
bool IsUnsafeModule(absl::string_view module) {
  while (true) {
    if (UnsafeModules().contains(module)) return true;
    const size_t dot = module.rfind('.');
    if (dot == absl::string_view::npos) return false;
    module = module.substr(0, dot);
  }
}

// A dotted name walks attributes: any step through a module that runs code, or
// through Python's internals, is as good as naming it.
bool HasUnsafeStep(absl::string_view name) {
  if (!absl::StrContains(name, '.')) return false;
  for (const absl::string_view step : absl::StrSplit(name, '.')) {
    if (UnsafeModules().contains(step) || UnsafeNames().contains(Name("builtins", step)) ||
        absl::StartsWith(step, "__")) {
      return true;
    }
  }
  return false;
}

}  // namespace

GlobalVerdict JudgeGlobal(absl::string_view module, absl::string_view name) {
  module = Python3Module(module);
  if (IsUnsafeModule(module) || UnsafeNames().contains(Name(module, name)) || HasUnsafeStep(name)) {
    return GlobalVerdict::kUnsafe;
  }
  if (AllowedNames().contains(Name(module, name)) || IsTensorClass(module, name)) {
    return GlobalVerdict::kAllowed;
  }
  return GlobalVerdict::kInert;
}

absl::string_view GlobalVerdictName(GlobalVerdict verdict) {
  switch (verdict) {
    case GlobalVerdict::kAllowed:
      return "allowed";
    case GlobalVerdict::kUnsafe:
      return "unsafe";
    case GlobalVerdict::kInert:
      break;
  }
  return "inert";
}

bool IsDictClass(absl::string_view module, absl::string_view name) {
  if (name == "OrderedDict") {
    return module == "collections" || module == "UserList" || module == "UserString";
  }
  if (name == "dict") return Python3Module(module) == "builtins";
  return module == "collections" && (name == "defaultdict" || name == "Counter");
}

}  // namespace ballast
