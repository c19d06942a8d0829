#include "storage/formats/pytorch_bare_pickle.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/formats/pickle_machine.h"
#include "storage/formats/pytorch_legacy.h"
#include "storage/formats/pytorch_object.h"
#include "storage/formats/pytorch_tensors.h"

namespace ballast {
namespace {

constexpr uint64_t kHeadBytes = 4096;

// A run of a source as a source of its own.
class WindowSource : public ByteSource {
 public:
  // `source`, which has all of the run, must outlive this.
  WindowSource(const ByteSource* source, uint64_t offset_bytes, uint64_t size_bytes)
      : source_(source), offset_(offset_bytes), size_(size_bytes) {}
  uint64_t size_bytes() const override { return size_; }
  absl::Status ReadAt(uint64_t offset, absl::Span<char> out) const override {
    if (offset > size_ || out.size() > size_ - offset) {
      return TruncatedError("bytes end at ", size_, ", want ", out.size(), " more from ", offset);
    }
    return source_->ReadAt(offset_ + offset, out);
  }

 private:
  const ByteSource* source_;  // Must outlive this.
  const uint64_t offset_;
  const uint64_t size_;
};

// Opens the nested files when tensors ask for them.
class NestedStorages : public StorageLocator {
 public:
  // Both must outlive this.
  NestedStorages(const ByteSource* source, const Limits* limits)
      : source_(source), limits_(limits) {}

  absl::StatusOr<PyTorchStorageId> StorageId(const PickleGraph& graph, PickleRef ref) override {
    const auto known = by_call_.find(ref);
    if (known != by_call_.end()) return known->second.id;
    const std::string key = absl::StrCat(by_call_.size());
    ASSIGN_OR_RETURN(SavedStorage saved, Open(graph, ref), absl::StrCat("storage ", key));
    saved.id.key = saved.storage.name = key;
    by_key_[key] = saved.storage;
    return by_call_.emplace(ref, std::move(saved)).first->second.id;
  }
  absl::StatusOr<SourceStorage> Locate(const PyTorchStorageId& id) override {
    return by_key_.at(id.key);
  }

 private:
  absl::StatusOr<SavedStorage> Open(const PickleGraph& graph, PickleRef ref) const {
    const auto args = graph.CalleeIs(ref, kNestedFileModule, kNestedFileName)
                          ? graph.items(graph.object(ref)->args)
                          : absl::Span<const PickleRef>();
    if (args.size() != 1) {
      return MalformedError("storage is a value of type ", Printable(graph.TypeName(ref)),
                            ", want a call of ", kNestedFileModule, ".", kNestedFileName);
    }
    const std::optional<uint64_t> offset = graph.offset_bytes(args[0]);
    if (!offset) {
      return UnsupportedError(
          "its bytes are pickled as text, as protocols before 3 do; use torch.save, or pickle "
          "it anew with protocol 4");
    }
    const WindowSource window(source_, *offset, graph.text(args[0]).size());
    ASSIGN_OR_RETURN(SavedStorage saved, ReadSavedStorage(window, *limits_),
                     absl::StrCat("stream at byte ", *offset));
    saved.storage.offset_bytes += *offset;
    return saved;
  }

  const ByteSource* source_;  // Must outlive this.
  const Limits* limits_;      // Must outlive this.
  absl::flat_hash_map<PickleRef, SavedStorage> by_call_;
  absl::flat_hash_map<std::string, SourceStorage> by_key_;
};

// What else is pickled often, by the modules that its first bytes name; Ok for the rest.
// joblib's files are no pickles to their end, so this cannot wait for one that was run.
absl::Status CheckOwner(const ByteSource& source) {
  std::string head(std::min(kHeadBytes, source.size_bytes()), '\0');
  if (!head.empty()) RETURN_IF_ERROR(source.ReadAt(0, absl::MakeSpan(head)));
  if (absl::StrContains(head, "joblib") || absl::StrContains(head, "sklearn")) {
    return WrongFormatError(
        "this is a pickle of scikit-learn or joblib, want a state dict; save its arrays as "
        "tensors");
  }
  if (absl::StrContains(head, "numpy") && !absl::StrContains(head, "torch")) {
    return WrongFormatError(
        "this is a pickle of NumPy arrays, want a state dict; save them as tensors with torch.save "
        "or safetensors");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SourceStateDict> ReadBarePickle(const ByteSource& source, const Limits& limits) {
  SourceStream stream(&source);
  absl::StatusOr<PickleResult> run =
      RunPickle(&stream, limits, ClassIds::kModule, NestedFiles::kPlaced);
  if (GetReason(run.status()) == Reason::kUnsafe) return WithContext(run.status(), "bare pickle");
  RETURN_IF_ERROR(CheckOwner(source));
  ASSIGN_OR_RETURN(const PickleResult result, std::move(run), "bare pickle");
  SourceStateDict dict;
  dict.format = Format::kPickle;
  dict.writer = "Python's pickle";
  NestedStorages storages(&source, &limits);
  RETURN_IF_ERROR(ReadPickledObject(result.graph, limits, &storages, &dict), "bare pickle");
  if (dict.entries.empty()) {
    return WrongFormatError("this is a bare pickle without torch tensors, a value of type ",
                            Printable(result.graph.TypeName(result.graph.root())),
                            ", want a state dict written by torch.save");
  }
  if (const uint64_t more = source.size_bytes() - result.size_bytes; more > 0) {
    return UnsafeError("bare pickle: ", more, " bytes follow its STOP at byte ",
                       result.size_bytes - 1, ", want none");
  }
  return dict;
}

}  // namespace ballast
