#include "storage/formats/pytorch_reader.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/formats/inflate.h"
#include "storage/formats/pickle_machine.h"
#include "storage/formats/pytorch_archive.h"
#include "storage/formats/pytorch_object.h"
#include "storage/formats/pytorch_walk.h"

namespace ballast {
namespace {

absl::Status Drain(ByteStream* stream) {
  std::string piece(64u << 10, '\0');
  while (true) {
    ASSIGN_OR_RETURN(const size_t n, stream->Read(absl::MakeSpan(piece)));
    if (n == 0) return absl::OkStatus();
  }
}

// Whether damaged bytes would explain what the machine says.
bool MayBeDamage(const absl::Status& status) {
  return status.ok() || GetReason(status) == Reason::kMalformed ||
         GetReason(status) == Reason::kTruncated;
}

// A record that is one pickle and nothing else. It is run as it is inflated.
absl::StatusOr<PickleGraph> ReadPickle(const ByteSource& source, const PyTorchArchive& archive,
                                       absl::string_view name, const Limits& limits) {
  const SourceStorage record = archive.StorageOf(*archive.Find(name));
  if (std::max(record.size_bytes, record.stored_bytes) > limits.pickle_bytes_max) {
    return LimitError("zip: record ", name, " is ", record.size_bytes, " bytes long, want at most ",
                      limits.pickle_bytes_max, " (pickle_bytes_max)");
  }
  StorageStream stream(&source, record);
  absl::StatusOr<PickleResult> result = RunPickle(&stream, limits);
  if (MayBeDamage(result.status())) RETURN_IF_ERROR(Drain(&stream), "zip");
  RETURN_IF_ERROR(result.status(), name);
  if (result->size_bytes != record.size_bytes) {
    return UnsafeError(name, ": ", record.size_bytes - result->size_bytes,
                       " bytes follow the pickle's STOP at byte ", result->size_bytes - 1,
                       ", want none");
  }
  return std::move(result->graph);
}

// constants.pkl makes torch take the archive for TorchScript. It is read for what
// it names; its tensors have no names and are not entries.
absl::Status CheckScript(const ByteSource& source, const PyTorchArchive& archive,
                         const PickleGraph& graph, const Limits& limits) {
  if (!archive.is_script()) return absl::OkStatus();
  if (!IsScriptObject(graph, graph.root())) {
    return UnsafeError(
        "zip: record constants.pkl stands beside a data.pkl that holds a value of "
        "type ",
        Printable(graph.TypeName(graph.root())), ", want a TorchScript object");
  }
  return ReadPickle(source, archive, "constants.pkl", limits).status();
}

}  // namespace

absl::StatusOr<SourceStateDict> ReadPyTorch(const ByteSource& source, const Limits& limits) {
  ASSIGN_OR_RETURN(PyTorchArchive archive, PyTorchArchive::Open(source, limits));
  ASSIGN_OR_RETURN(const PickleGraph graph, ReadPickle(source, archive, "data.pkl", limits));
  RETURN_IF_ERROR(CheckScript(source, archive, graph, limits));
  SourceStateDict dict;
  dict.format = archive.is_script() ? Format::kTorchScript : Format::kPyTorch;
  dict.writer = archive.Writer();
  dict.container = archive.Facts();
  RETURN_IF_ERROR(ReadPickledObject(graph, limits, &archive, &dict));
  for (std::string& warning : archive.Warnings()) dict.warnings.push_back(std::move(warning));
  return dict;
}

}  // namespace ballast
