#include "storage/formats/pickle_plain.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "storage/formats/json_text.h"
#include "storage/model/dtype.h"

namespace ballast {
namespace {

absl::Span<const PickleRef> ArgsOf(const PickleGraph& graph, PickleRef call) {
  const PickleObject* object = graph.object(call);
  if (object == nullptr || object->args == kNoPickleRef) return {};
  return graph.items(object->args);
}

bool CalleeIsOf(const PickleGraph& graph, PickleRef ref,
                absl::Span<const absl::string_view> modules, absl::string_view name) {
  return std::any_of(modules.begin(), modules.end(),
                     [&](absl::string_view module) { return graph.CalleeIs(ref, module, name); });
}

constexpr std::array<absl::string_view, 2> kBuiltins = {"builtins", "__builtin__"};
constexpr std::array<absl::string_view, 2> kMultiarray = {"numpy.core.multiarray",
                                                          "numpy._core.multiarray"};

constexpr size_t kLatin1BytesMax = 1024;

// Text of code points below 256 as the bytes that they are.
std::optional<std::string> Latin1Bytes(absl::string_view text) {
  if (text.size() > kLatin1BytesMax) return std::nullopt;
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c < 0x80) {
      out += text[i];
    } else if ((c == 0xC2 || c == 0xC3) && i + 1 < text.size()) {
      out += static_cast<char>((c << 6) | (text[++i] & 0x3F));
    } else {
      return std::nullopt;
    }
  }
  return out;
}

struct NumpyDType {
  char kind = 0;  // 'b' 'i' 'u' 'f' and others that are no numbers
  size_t size = 0;
  bool big_endian = false;
  std::string name;  // "float64"
};

std::string NumpyName(char kind, size_t size, absl::string_view code) {
  const auto sized = [size](absl::string_view word) { return absl::StrCat(word, 8 * size); };
  switch (kind) {
    case 'b':
      return "bool_";
    case 'i':
      return sized("int");
    case 'u':
      return sized("uint");
    case 'f':
      return sized("float");
    case 'c':
      return sized("complex");
    default:
      return std::string(code.substr(0, 32));
  }
}

std::optional<NumpyDType> ReadNumpyDType(const PickleGraph& graph, PickleRef ref) {
  if (!graph.CalleeIs(ref, "numpy", "dtype")) return std::nullopt;
  const auto args = ArgsOf(graph, ref);
  if (args.empty() || !graph.Is(args[0], PickleKind::kString)) return std::nullopt;
  const absl::string_view code = graph.text(args[0]);
  NumpyDType out;
  uint32_t size = 0;
  if (code.size() < 2 || !absl::SimpleAtoi(code.substr(1), &size)) return std::nullopt;
  out.kind = code[0];
  out.size = size;
  out.name = NumpyName(out.kind, size, code);
  const PickleRef state = graph.object(ref)->state;
  const auto facts = state == kNoPickleRef ? absl::Span<const PickleRef>() : graph.items(state);
  out.big_endian =
      facts.size() > 1 && graph.Is(facts[1], PickleKind::kString) && graph.text(facts[1]) == ">";
  return out;
}

double HalfToDouble(uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const int fraction = bits & 1023;
  const double magnitude = exponent == 0    ? std::ldexp(fraction, -24)
                           : exponent == 31 ? (fraction == 0 ? INFINITY : NAN)
                                            : std::ldexp(1024 + fraction, exponent - 25);
  return (bits >> 15) != 0 ? -magnitude : magnitude;
}

template <typename T>
void SetFloat(T value, NumpyScalar* out) {
  (std::isfinite(value) ? out->json : out->text) = FloatText(value);
}

// `raw` is the little-endian number.
void SetFloat(uint64_t raw, size_t size, NumpyScalar* out) {
  if (size == 8) {
    double value = 0;
    std::memcpy(&value, &raw, sizeof(value));
    SetFloat(value, out);
  } else if (size == 4) {
    const auto bits = static_cast<uint32_t>(raw);
    float value = 0;
    std::memcpy(&value, &bits, sizeof(value));
    SetFloat(value, out);
  } else {
    SetFloat(HalfToDouble(static_cast<uint16_t>(raw)), out);
  }
}

// True if set: the dtype is one of numbers.
bool SetNumber(const NumpyDType& dtype, absl::string_view bytes, NumpyScalar* out) {
  const bool width = dtype.size == 1 || dtype.size == 2 || dtype.size == 4 || dtype.size == 8;
  if (!width || bytes.size() != dtype.size) return false;
  uint64_t raw = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    const size_t at = dtype.big_endian ? i : bytes.size() - 1 - i;
    raw = raw << 8 | static_cast<unsigned char>(bytes[at]);
  }
  const size_t unused = 64 - 8 * dtype.size;
  switch (dtype.kind) {
    case 'b':
      out->json = raw != 0 ? "true" : "false";
      return true;
    case 'i':
      out->json = absl::StrCat(static_cast<int64_t>(raw << unused) >> unused);
      return true;
    case 'u':
      out->json = absl::StrCat(raw);
      return true;
    case 'f':
      if (dtype.size == 1) return false;
      SetFloat(raw, dtype.size, out);
      return true;
    default:
      return false;
  }
}

bool IsPath(const PickleGraph& graph, PickleRef ref) {
  static constexpr std::array<absl::string_view, 2> kModules = {"pathlib", "pathlib._local"};
  static constexpr std::array<absl::string_view, 5> kNames = {"Path", "PosixPath", "WindowsPath",
                                                              "PurePosixPath", "PureWindowsPath"};
  return std::any_of(kNames.begin(), kNames.end(), [&](absl::string_view name) {
    return CalleeIsOf(graph, ref, kModules, name);
  });
}

// The parts of a path joined; the first may be "/".
std::optional<std::string> JoinParts(const PickleGraph& graph, absl::Span<const PickleRef> parts) {
  std::string out;
  for (const PickleRef part : parts) {
    if (!graph.Is(part, PickleKind::kString)) return std::nullopt;
    absl::StrAppend(&out, out.empty() || out.back() == '/' ? "" : "/", graph.text(part));
  }
  return out;
}

}  // namespace

std::optional<absl::string_view> PickledBytes(const PickleGraph& graph, PickleRef ref,
                                              std::string* scratch) {
  if (graph.Is(ref, PickleKind::kBytes)) return graph.text(ref);
  if (!graph.Is(ref, PickleKind::kCall)) return std::nullopt;
  const auto args = ArgsOf(graph, ref);
  const bool array = CalleeIsOf(graph, ref, kBuiltins, "bytearray");
  const bool plain = CalleeIsOf(graph, ref, kBuiltins, "bytes");
  if ((array || plain) && args.empty()) return absl::string_view();
  if (array && args.size() == 1 && graph.Is(args[0], PickleKind::kBytes)) {
    return graph.text(args[0]);
  }
  const bool text = (array || graph.CalleeIs(ref, "_codecs", "encode")) && args.size() == 2 &&
                    graph.Is(args[0], PickleKind::kString) &&
                    graph.Is(args[1], PickleKind::kString) &&
                    absl::StartsWith(graph.text(args[1]), "latin");
  if (!text) return std::nullopt;
  std::optional<std::string> bytes = Latin1Bytes(graph.text(args[0]));
  if (!bytes) return std::nullopt;
  *scratch = *std::move(bytes);
  return *scratch;
}

std::optional<NumpyScalar> PickledNumpyScalar(const PickleGraph& graph, PickleRef ref) {
  if (!CalleeIsOf(graph, ref, kMultiarray, "scalar")) return std::nullopt;
  const auto args = ArgsOf(graph, ref);
  if (args.size() != 2) return std::nullopt;
  const std::optional<NumpyDType> dtype = ReadNumpyDType(graph, args[0]);
  if (!dtype) return std::nullopt;
  std::string scratch;
  // Python 2 has a str there.
  const std::optional<absl::string_view> bytes = graph.Is(args[1], PickleKind::kString)
                                                     ? graph.text(args[1])
                                                     : PickledBytes(graph, args[1], &scratch);
  NumpyScalar out;
  out.type = absl::StrCat("numpy.", dtype->name);
  if (!bytes || !SetNumber(*dtype, *bytes, &out)) return std::nullopt;
  return out;
}

std::optional<std::string> PickledNumpyArray(const PickleGraph& graph, PickleRef ref) {
  if (!CalleeIsOf(graph, ref, kMultiarray, "_reconstruct")) return std::nullopt;
  const PickleRef state = graph.object(ref)->state;
  const auto facts = state == kNoPickleRef ? absl::Span<const PickleRef>() : graph.items(state);
  if (facts.size() < 3) return std::nullopt;
  constexpr size_t kDimsShown = 32;
  std::vector<std::string> dims;
  for (const PickleRef dim : graph.items(facts[1])) {
    if (!graph.Is(dim, PickleKind::kInt) || dims.size() == kDimsShown) return std::nullopt;
    dims.push_back(absl::StrCat(graph.integer(dim)));
  }
  const std::optional<NumpyDType> dtype = ReadNumpyDType(graph, facts[2]);
  return absl::StrCat(dtype ? dtype->name : "other", " [", absl::StrJoin(dims, ", "), "]");
}

std::optional<std::string> PickledName(const PickleGraph& graph, PickleRef ref) {
  const auto args = ArgsOf(graph, ref);
  if (IsPath(graph, ref)) return JoinParts(graph, args);
  if (!graph.CalleeIs(ref, "torch", "device") || args.empty() ||
      !graph.Is(args[0], PickleKind::kString)) {
    return std::nullopt;
  }
  std::string out(graph.text(args[0]));
  if (args.size() > 1 && graph.Is(args[1], PickleKind::kInt)) {
    absl::StrAppend(&out, ":", graph.integer(args[1]));
  }
  return out;
}

std::optional<absl::Span<const PickleRef>> PickledItems(const PickleGraph& graph, PickleRef ref) {
  switch (graph.kind(ref)) {
    case PickleKind::kTuple:
    case PickleKind::kList:
    case PickleKind::kSet:
      return graph.items(ref);
    case PickleKind::kCall:
      break;
    default:
      return std::nullopt;
  }
  const bool known = graph.CalleeIs(ref, "torch", "Size") ||
                     CalleeIsOf(graph, ref, kBuiltins, "set") ||
                     CalleeIsOf(graph, ref, kBuiltins, "frozenset");
  const auto args = ArgsOf(graph, ref);
  if (!known || args.size() > 1) return std::nullopt;
  if (args.empty()) return args;
  const bool sequence =
      graph.Is(args[0], PickleKind::kTuple) || graph.Is(args[0], PickleKind::kList);
  if (!sequence) return std::nullopt;
  return graph.items(args[0]);
}

PickleRef PickledAttributes(const PickleGraph& graph, PickleRef ref) {
  const PickleObject* object = graph.object(ref);
  if (!graph.Is(ref, PickleKind::kInstance) || !object->items.empty()) return kNoPickleRef;
  const bool dict = object->state != kNoPickleRef && graph.Is(object->state, PickleKind::kDict);
  return dict ? object->state : kNoPickleRef;
}

std::string PickledTypeName(const PickleGraph& graph, PickleRef ref) {
  if (const auto scalar = PickledNumpyScalar(graph, ref)) return scalar->type;
  if (CalleeIsOf(graph, ref, kMultiarray, "_reconstruct")) return "numpy.ndarray";
  if (graph.Is(ref, PickleKind::kGlobal)) {
    const PickleGlobal& global = graph.global(ref);
    const bool dtype = global.module == "torch" && DTypeFromName(global.name).has_value();
    if (dtype) return "torch.dtype";
  }
  return graph.TypeName(ref);
}

}  // namespace ballast
