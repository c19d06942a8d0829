#include "storage/formats/pytorch_reader.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/formats/pickle_machine.h"
#include "storage/formats/pytorch_archive.h"
#include "storage/formats/pytorch_object.h"
#include "storage/formats/pytorch_walk.h"

namespace ballast {
namespace {

// A record that is one pickle and nothing else.
absl::StatusOr<PickleGraph> ReadPickle(const PyTorchArchive& archive, absl::string_view name,
                                       const Limits& limits) {
  ASSIGN_OR_RETURN(const std::string bytes, archive.Read(name, limits.pickle_bytes_max));
  ASSIGN_OR_RETURN(PickleResult result, RunPickle(bytes, limits), name);
  if (result.size_bytes != bytes.size()) {
    return UnsafeError(name, ": ", bytes.size() - result.size_bytes,
                       " bytes follow the pickle's STOP at byte ", result.size_bytes - 1,
                       ", want none");
  }
  return std::move(result.graph);
}

// constants.pkl makes torch take the archive for TorchScript. It is read for what
// it names; its tensors have no names and are not entries.
absl::Status CheckScript(const PyTorchArchive& archive, const PickleGraph& graph,
                         const Limits& limits) {
  if (!archive.is_script()) return absl::OkStatus();
  if (!IsScriptObject(graph, graph.root())) {
    return UnsafeError(
        "zip: record constants.pkl stands beside a data.pkl that holds a value of "
        "type ",
        Printable(graph.TypeName(graph.root())), ", want a TorchScript object");
  }
  return ReadPickle(archive, "constants.pkl", limits).status();
}

}  // namespace

absl::StatusOr<SourceStateDict> ReadPyTorch(const ByteSource& source, const Limits& limits) {
  ASSIGN_OR_RETURN(PyTorchArchive archive, PyTorchArchive::Open(source, limits));
  ASSIGN_OR_RETURN(const PickleGraph graph, ReadPickle(archive, "data.pkl", limits));
  RETURN_IF_ERROR(CheckScript(archive, graph, limits));
  SourceStateDict dict;
  dict.format = archive.is_script() ? Format::kTorchScript : Format::kPyTorch;
  dict.writer = archive.Writer();
  dict.container = archive.Facts();
  RETURN_IF_ERROR(ReadPickledObject(graph, limits, &archive, &dict));
  for (std::string& warning : archive.Warnings()) dict.warnings.push_back(std::move(warning));
  return dict;
}

}  // namespace ballast
