#include "storage/formats/pytorch_legacy.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "storage/base/checked.h"
#include "storage/base/status.h"
#include "storage/formats/pickle_machine.h"
#include "storage/formats/pytorch_legacy_writer.h"
#include "storage/formats/pytorch_object.h"
#include "storage/formats/pytorch_tensors.h"

namespace ballast {
namespace {

constexpr int64_t kVersion = 1001;
constexpr uint64_t kHeaderPickleBytesMax = 64u << 10;
constexpr size_t kMagicPickleBytes = 2 + kPyTorchLegacyMagic.size();           // PROTO
constexpr size_t kFramedMagicBytes = kMagicPickleBytes + 1 + sizeof(int64_t);  // and FRAME

class LegacyStream : public StorageLocator {
 public:
  // Both must outlive this.
  LegacyStream(const ByteSource* source, const Limits* limits) : source_(source), limits_(limits) {}

  // The pickles up to the object.
  absl::StatusOr<PickleGraph> ReadObject();
  // Everything behind the object.
  absl::Status ReadStorages(const PickleGraph& graph);
  absl::StatusOr<SourceStorage> Locate(const PyTorchStorageId& id) override;
  // After all storages have been located.
  std::vector<std::string> Warnings() const;
  // After the storages.
  std::string Writer(const PickleGraph& graph) const;

 private:
  struct Stored {
    PyTorchStorageId id;
    uint64_t offset_bytes = 0;
    bool listed = false;   // in the list of keys
    bool located = false;  // by an entry
  };
  struct View {
    std::string root;
    uint64_t offset_bytes = 0;
    uint64_t size_bytes = 0;
    friend bool operator==(const View&, const View&) = default;
  };

  absl::StatusOr<PickleResult> ReadPickle(absl::string_view what, const Limits& limits);
  absl::Status ReadMagic(const Limits& limits);
  absl::Status ReadVersion(const Limits& limits);
  absl::Status ReadSystem(const Limits& limits);
  absl::Status CollectIds(const PickleGraph& graph);
  absl::Status AddId(const PyTorchStorageId& id);
  absl::StatusOr<std::vector<size_t>> ReadKeys();
  absl::Status ReadStorage(Stored* stored);
  absl::Status CheckEnd() const;

  const ByteSource* source_;  // Must outlive this.
  const Limits* limits_;      // Must outlive this.
  uint64_t position_ = 0;
  bool big_endian_writer_ = false;
  std::vector<Stored> storages_;   // in the order of first use
  std::vector<std::string> keys_;  // of the storages, in the order of their data
  absl::flat_hash_map<std::string, size_t> index_;
  absl::flat_hash_map<std::string, View> views_;
};

absl::StatusOr<PickleResult> LegacyStream::ReadPickle(absl::string_view what,
                                                      const Limits& limits) {
  SourceStream stream(source_, position_);
  ASSIGN_OR_RETURN(PickleResult result, RunPickle(&stream, limits),
                   absl::StrCat("legacy stream: pickle of ", what, " at byte ", position_));
  position_ += result.size_bytes;
  return result;
}

// The machine does not keep numbers of 80 bits, so the bytes are compared.
absl::Status LegacyStream::ReadMagic(const Limits& limits) {
  RETURN_IF_ERROR(ReadPickle("the magic number", limits).status());
  std::string bytes(std::min<uint64_t>(position_, kFramedMagicBytes), '\0');
  RETURN_IF_ERROR(source_->ReadAt(0, absl::MakeSpan(&bytes[0], bytes.size())));
  const bool length = position_ == kMagicPickleBytes || position_ == kFramedMagicBytes;
  if (length && absl::EndsWith(bytes, kPyTorchLegacyMagic)) return absl::OkStatus();
  return UnsupportedError(
      "legacy stream: first pickle is something else, want the magic number "
      "0x1950a86a20f9469cfc6c as torch.save writes it");
}

absl::Status LegacyStream::ReadVersion(const Limits& limits) {
  ASSIGN_OR_RETURN(const PickleResult result, ReadPickle("the version", limits));
  const PickleGraph& graph = result.graph;
  if (!graph.Is(graph.root(), PickleKind::kInt)) {
    return UnsupportedError("legacy stream: version is a value of type ",
                            Printable(graph.TypeName(graph.root())), ", want ", kVersion);
  }
  if (graph.integer(graph.root()) == kVersion) return absl::OkStatus();
  return UnsupportedError("legacy stream: version is ", graph.integer(graph.root()), ", want ",
                          kVersion);
}

absl::Status LegacyStream::ReadSystem(const Limits& limits) {
  ASSIGN_OR_RETURN(const PickleResult result, ReadPickle("the system", limits));
  const PickleGraph& graph = result.graph;
  if (!graph.Is(graph.root(), PickleKind::kDict)) return absl::OkStatus();
  const PickleRef little = graph.Find(graph.root(), "little_endian");
  big_endian_writer_ = little == graph.Bool(false);
  return absl::OkStatus();
}

absl::StatusOr<PickleGraph> LegacyStream::ReadObject() {
  Limits small = *limits_;
  small.pickle_bytes_max = std::min(small.pickle_bytes_max, kHeaderPickleBytesMax);
  RETURN_IF_ERROR(ReadMagic(small));
  RETURN_IF_ERROR(ReadVersion(small));
  RETURN_IF_ERROR(ReadSystem(small));
  ASSIGN_OR_RETURN(PickleResult object, ReadPickle("the object", *limits_));
  return std::move(object.graph);
}

absl::Status LegacyStream::AddId(const PyTorchStorageId& id) {
  const auto [it, fresh] = index_.emplace(id.key, storages_.size());
  if (fresh) storages_.push_back({id});
  const PyTorchStorageId& known = storages_[it->second].id;
  if (known.dtype != id.dtype || known.size_bytes != id.size_bytes) {
    return MalformedError("legacy stream: storage ", id.key,
                          " is named twice with different class or size");
  }
  if (id.view_key.empty()) return absl::OkStatus();
  const View view{id.key, id.view_offset_bytes, id.view_bytes};
  if (views_.emplace(id.view_key, view).first->second == view) return absl::OkStatus();
  return MalformedError("legacy stream: view ", id.view_key, " is two different windows");
}

// Every storage that the object names, used or not: its bytes follow.
absl::Status LegacyStream::CollectIds(const PickleGraph& graph) {
  for (PickleRef ref = 1; ref < graph.size(); ++ref) {
    if (!graph.Is(ref, PickleKind::kPersistent)) continue;
    ASSIGN_OR_RETURN(const PyTorchStorageId id, ParseStorageId(graph, ref), "legacy stream");
    if (graph.items(graph.persistent_id(ref)).size() != 6) {
      return MalformedError("legacy stream: persistent id of storage ", id.key,
                            " has 5 items, want 6");
    }
    RETURN_IF_ERROR(AddId(id));
  }
  for (const auto& [key, view] : views_) {
    if (!index_.contains(key)) continue;
    return MalformedError("legacy stream: key ", key, " is a storage's and a view's");
  }
  return absl::OkStatus();
}

// Indices of the storages in the order of their data.
absl::StatusOr<std::vector<size_t>> LegacyStream::ReadKeys() {
  ASSIGN_OR_RETURN(const PickleResult result, ReadPickle("the storage keys", *limits_));
  const PickleGraph& graph = result.graph;
  if (!graph.Is(graph.root(), PickleKind::kList)) {
    return MalformedError("legacy stream: storage keys are a value of type ",
                          Printable(graph.TypeName(graph.root())), ", want a list");
  }
  std::vector<size_t> order;
  for (const PickleRef item : graph.items(graph.root())) {
    const bool number = graph.Is(item, PickleKind::kInt);
    if (!number && !graph.Is(item, PickleKind::kString)) {
      return MalformedError("legacy stream: storage key is a value of type ",
                            Printable(graph.TypeName(item)), ", want a string");
    }
    const std::string key =
        number ? absl::StrCat(graph.integer(item)) : std::string(graph.text(item));
    const auto it = index_.find(key);
    if (it == index_.end()) {
      return MalformedError("legacy stream: storage keys list ", QuotedKey(key),
                            ", which the object does not name");
    }
    if (std::exchange(storages_[it->second].listed, true)) {
      return MalformedError("legacy stream: storage keys list ", key, " twice");
    }
    order.push_back(it->second);
    keys_.push_back(key);
  }
  for (const Stored& stored : storages_) {
    if (stored.listed) continue;
    return MalformedError("legacy stream: storage keys do not list ", stored.id.key,
                          ", which the object names");
  }
  return order;
}

absl::Status LegacyStream::ReadStorage(Stored* stored) {
  const PyTorchStorageId& id = stored->id;
  char raw[sizeof(int64_t)];
  const uint64_t left = source_->size_bytes() - position_;
  if (left < sizeof(raw)) {
    return TruncatedError("legacy stream: input ends in the numel of storage ", id.key, " at byte ",
                          position_);
  }
  RETURN_IF_ERROR(source_->ReadAt(position_, absl::MakeSpan(raw)));
  uint64_t numel = 0;
  for (size_t i = sizeof(raw); i-- > 0;) numel = numel << 8 | static_cast<unsigned char>(raw[i]);
  if (numel != id.size_bytes / id.element_bytes) {
    return MalformedError("legacy stream: numel of storage ", id.key, " at byte ", position_,
                          " is ", static_cast<int64_t>(numel), ", want ",
                          id.size_bytes / id.element_bytes, " as the object says");
  }
  position_ += sizeof(raw);
  if (id.size_bytes > left - sizeof(raw)) {
    return TruncatedError("legacy stream: input ends in storage ", id.key, " of ", id.size_bytes,
                          " bytes at byte ", position_);
  }
  stored->offset_bytes = position_;
  position_ += id.size_bytes;
  return absl::OkStatus();
}

absl::Status LegacyStream::CheckEnd() const {
  const uint64_t left = source_->size_bytes() - position_;
  if (left == 0) return absl::OkStatus();
  std::string head(std::min<uint64_t>(left, kFramedMagicBytes), '\0');
  RETURN_IF_ERROR(source_->ReadAt(position_, absl::MakeSpan(&head[0], head.size())));
  if (absl::StartsWith(head, "PK\3\4")) {
    return UnsafeError("legacy stream: a zip archive follows the last storage at byte ", position_,
                       ", want none: other readers would open that");
  }
  const bool again = absl::StrContains(head, kPyTorchLegacyMagic);
  return MalformedError(
      "legacy stream: ", left, " bytes follow the last storage at byte ", position_,
      again ? ": a second torch.save was appended to the file, want one" : ", want none");
}

absl::Status LegacyStream::ReadStorages(const PickleGraph& graph) {
  RETURN_IF_ERROR(CollectIds(graph));
  ASSIGN_OR_RETURN(const std::vector<size_t> order, ReadKeys());
  for (const size_t index : order) RETURN_IF_ERROR(ReadStorage(&storages_[index]));
  return CheckEnd();
}

absl::StatusOr<SourceStorage> LegacyStream::Locate(const PyTorchStorageId& id) {
  Stored& stored = storages_[index_.at(id.key)];  // CollectIds has seen every id
  stored.located = true;
  SourceStorage storage;
  storage.name = id.key;
  storage.offset_bytes = stored.offset_bytes;
  storage.stored_bytes = storage.size_bytes = stored.id.size_bytes;
  return storage;
}

std::vector<std::string> LegacyStream::Warnings() const {
  std::vector<std::string> warnings;
  if (big_endian_writer_) {
    warnings.push_back("written on a big-endian machine: storages are little-endian all the same");
  }
  const auto unused = std::count_if(storages_.begin(), storages_.end(),
                                    [](const Stored& stored) { return !stored.located; });
  if (unused > 0) warnings.push_back(absl::StrCat(unused, " storages belong to no entry"));
  return warnings;
}

// torch's keys are addresses. Tensors were made by their classes first, then by a function,
// which changed with 0.4.
std::string LegacyStream::Writer(const PickleGraph& graph) const {
  if (AreOurLegacyKeys(keys_)) return "Ballast";
  for (const PickleGlobal& global : graph.globals()) {
    if (global.name == "_rebuild_tensor_v2") return "torch 0.4-1.5";
    if (global.name == "_rebuild_tensor") return "torch 0.2-0.3";
    const bool torch = global.module == "torch" || global.module == "torch.cuda";
    if (torch && absl::EndsWith(global.name, "Tensor")) return "torch 0.1.10-0.1.12";
  }
  return "";
}

}  // namespace

absl::StatusOr<SourceStateDict> ReadPyTorchLegacy(const ByteSource& source, const Limits& limits) {
  LegacyStream stream(&source, &limits);
  ASSIGN_OR_RETURN(const PickleGraph graph, stream.ReadObject());
  RETURN_IF_ERROR(stream.ReadStorages(graph));
  SourceStateDict dict;
  dict.format = Format::kPyTorchLegacy;
  dict.writer = stream.Writer(graph);
  RETURN_IF_ERROR(ReadPickledObject(graph, limits, &stream, &dict));
  for (std::string& warning : stream.Warnings()) dict.warnings.push_back(std::move(warning));
  return dict;
}

absl::StatusOr<SavedStorage> ReadSavedStorage(const ByteSource& source, const Limits& limits) {
  LegacyStream stream(&source, &limits);
  ASSIGN_OR_RETURN(const PickleGraph graph, stream.ReadObject());
  SavedStorage saved;
  ASSIGN_OR_RETURN(saved.id, ParseStorageId(graph, graph.root()), "legacy stream");
  if (!saved.id.view_key.empty()) {
    return MalformedError("legacy stream: storage ", saved.id.key, " is a view, want all of it");
  }
  RETURN_IF_ERROR(stream.ReadStorages(graph));
  ASSIGN_OR_RETURN(saved.storage, stream.Locate(saved.id));
  return saved;
}

}  // namespace ballast
