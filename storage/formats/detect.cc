#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/formats/forward_input.h"
#include "storage/formats/json_text.h"
#include "storage/formats/pytorch_legacy.h"
#include "storage/formats/reader.h"
#include "storage/formats/torchsharp_parser.h"

namespace ballast {
namespace {

// A container that we read, or know and refuse by name.
struct Signature {
  absl::string_view magic;
  size_t offset;
  Format format;              // kUnknown: refused
  absl::string_view foreign;  // what it is and what to do, if refused
};

// All bytes of a literal, zeros too.
template <size_t N>
constexpr absl::string_view Magic(const char (&text)[N]) {
  return absl::string_view(text, N - 1);
}

constexpr std::array kSignatures = {
    Signature{Magic("PK\3\4"), 0, Format::kPyTorch, ""},
    Signature{Magic("PK\5\6"), 0, Format::kPyTorch, ""},  // without records
    Signature{Magic("PK\6\6"), 0, Format::kPyTorch, ""},
    Signature{Magic("ustar"), 257, Format::kPyTorchTar, ""},
    Signature{Magic("version https://git-lf"), 0, Format::kUnknown,
              "a Git LFS pointer and not the file itself; fetch it with `git lfs pull`"},
    Signature{Magic("GGUF"), 0, Format::kUnknown,
              "a GGUF file, whose quantised blocks are no tensors"},
    Signature{Magic("lmgg"), 0, Format::kUnknown, "an old GGML file"},
    Signature{Magic("tjgg"), 0, Format::kUnknown, "an old GGML (GGJT) file"},
    Signature{Magic("\x89HDF\r\n\x1a\n"), 0, Format::kUnknown, "an HDF5 file (Keras?)"},
    Signature{Magic("\x93NUMPY"), 0, Format::kUnknown, "a NumPy .npy file"},
    Signature{Magic("\x1f\x8b"), 0, Format::kUnknown, "compressed with gzip; decompress it first"},
    Signature{Magic("BZh"), 0, Format::kUnknown, "compressed with bzip2; decompress it first"},
    Signature{Magic("\x28\xb5\x2f\xfd"), 0, Format::kUnknown,
              "compressed with zstd; decompress it first"},
    Signature{Magic("\xfd\x37zXZ\0"), 0, Format::kUnknown,
              "compressed with xz; decompress it first"},
    Signature{Magic("7z\xbc\xaf\x27\x1c"), 0, Format::kUnknown, "a 7z archive; unpack it first"},
    Signature{Magic("Rar!\x1a\x07"), 0, Format::kUnknown, "a RAR archive; unpack it first"},
    Signature{Magic("ET12"), 4, Format::kUnknown, "an ExecuTorch program"},
    Signature{Magic("TFL3"), 4, Format::kUnknown, "a TensorFlow Lite model"},
    Signature{Magic("|TZR|"), 0, Format::kUnknown, "a Tensorizer file"},
    Signature{Magic("%PDF-"), 0, Format::kUnknown, "a PDF document"},
    Signature{Magic("\x7f\x45LF"), 0, Format::kUnknown, "an ELF program or library"},
};

bool IsHtml(absl::string_view head) {
  head = absl::StripLeadingAsciiWhitespace(head);
  return absl::StartsWithIgnoreCase(head, "<!doctype") ||
         absl::StartsWithIgnoreCase(head, "<html") || absl::StartsWithIgnoreCase(head, "<?xml") ||
         absl::StartsWithIgnoreCase(head, "<head");
}

// The first entry of a module .dat with a key. Its count and key length may be the
// magic of something else: 256 entries begin like a pickle of protocol 2.
bool BeginsLikeModule(absl::string_view head) {
  const Limits limits;
  StringSource source{std::string(head)};
  ForwardInput input(&source);
  TensorSpec spec;
  if (!ReadLeb128(&input, "").ok()) return false;
  const absl::StatusOr<std::string> key = ReadDotNetString(&input, limits, "");
  return key.ok() && !key->empty() && CheckKey(*key, limits).ok() &&
         ReadTensorHeader(&input, limits, &spec).ok();
}

// PROTO n, or the beginning of a protocol 0 pickle that names a global.
bool IsPickle(absl::string_view head) {
  if (head.size() >= 2 && head[0] == '\x80' && head[1] >= 2 && head[1] <= 5) {
    return head.size() > 2 &&
           absl::string_view("}])(cX\x8a\x8b\x95N\x88\x89KMJILU\x8c").find(head[2]) !=
               absl::string_view::npos;
  }
  if (head.empty() || head[0] != 'c') return false;
  const size_t line = head.find('\n');
  return line != absl::string_view::npos && line > 1 &&
         std::all_of(head.begin() + 1, head.begin() + line,
                     [](char c) { return absl::ascii_isalnum(c) || c == '_' || c == '.'; });
}

// u64 LE header length, then a JSON object after optional whitespace.
bool IsSafetensors(absl::string_view head) {
  constexpr uint64_t kLengthMax = uint64_t{1} << 32;
  if (head.size() < 10) return false;
  uint64_t length = 0;
  for (size_t i = 0; i < 8; ++i) length |= uint64_t{static_cast<uint8_t>(head[i])} << (8 * i);
  if (length < 2 || length >= kLengthMax) return false;
  const absl::string_view json = head.substr(8, length);
  const size_t start = json.find_first_not_of(" \t\r\n");
  if (start == absl::string_view::npos) return true;
  if (json[start] != '{') return false;
  const size_t next = json.find_first_not_of(" \t\r\n", start + 1);
  return next == absl::string_view::npos || json[next] == '"' || json[next] == '}';
}

}  // namespace

absl::StatusOr<Format> DetectFormat(absl::string_view head) {
  if (head.empty()) return TruncatedError("input is empty, want a state dict");
  if (BeginsLikeModule(head)) return Format::kTorchSharp;
  if (head == "PK" || head == "PK\3") return Format::kPyTorch;  // all that arrived of a zip
  if (absl::StartsWith(head, "PYTORCH1")) {
    return UnsupportedError(
        "this is a container of the PyTorch 1.0 preview, which is obsolete and not read");
  }
  for (const Signature& signature : kSignatures) {
    if (head.size() < signature.offset ||
        !absl::StartsWith(head.substr(signature.offset), signature.magic)) {
      continue;
    }
    if (signature.format != Format::kUnknown) return signature.format;
    return WrongFormatError("this is ", signature.foreign);
  }
  if (IsHtml(head)) {
    return WrongFormatError(
        "this is an HTML page, probably an error message that was downloaded "
        "in place of the file");
  }
  if (BeginsLikeJsonObject(head)) {
    return WrongFormatError(
        "this is a JSON text; the index of a sharded checkpoint is read with its shards, by its "
        "path (push, inspect, convert --local), never as a stream");
  }
  if (IsSafetensors(head)) return Format::kSafetensors;
  const size_t magic = head.substr(0, 32).find(kPyTorchLegacyMagic.substr(0, 12));
  if (head[0] == '\x80' && magic != absl::string_view::npos) return Format::kPyTorchLegacy;
  if (head.size() > 2 && absl::StartsWith(absl::StrCat("\x80\x02", kPyTorchLegacyMagic), head)) {
    return Format::kPyTorchLegacy;  // all that arrived of a stream
  }
  if (IsPickle(head)) return Format::kPickle;
  return Format::kTorchSharp;
}

}  // namespace ballast
