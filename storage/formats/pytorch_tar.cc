#include "storage/formats/pytorch_tar.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "storage/base/checked.h"
#include "storage/base/status.h"
#include "storage/formats/pytorch_object.h"
#include "storage/formats/pytorch_tensors.h"
#include "storage/formats/tar_member_input.h"
#include "storage/formats/tar_reader.h"

namespace ballast {
namespace {

constexpr std::array<absl::string_view, 4> kMembers = {"storages", "tensors", "pickle", "sys_info"};

// A key, which was an address in the memory of the writer.
std::optional<int64_t> KeyOf(const PickleGraph& graph, PickleRef ref) {
  int64_t key = 0;
  if (graph.Is(ref, PickleKind::kInt)) return graph.integer(ref);
  const bool text = graph.Is(ref, PickleKind::kString) && absl::SimpleAtoi(graph.text(ref), &key);
  return text ? std::optional<int64_t>(key) : std::nullopt;
}

class TarFile : public StorageLocator {
 public:
  // Both must outlive this.
  TarFile(const ByteSource* source, const Limits* limits) : source_(source), limits_(limits) {}

  // Finds the members, and reads all but the object.
  absl::Status Open();
  absl::StatusOr<PickleGraph> ReadObject();
  absl::StatusOr<SourceStorage> Locate(const PyTorchStorageId& id) override;
  const OutsideTensor* FindTensor(const PickleGraph& graph, PickleRef persistent) const override;
  // After all storages have been located.
  std::vector<std::string> Warnings() const;

 private:
  struct Stored {
    PyTorchStorageId id;  // the whole storage, or a view's window
    uint64_t offset_bytes = 0;
  };

  absl::Status FindMembers();
  absl::Status NotPyTorch() const;
  TarMemberInput Input(absl::string_view name) const {
    return TarMemberInput(source_, members_.at(name), limits_);
  }
  absl::StatusOr<uint64_t> ReadCount(TarMemberInput* in) const;
  absl::Status ReadStorages();
  absl::Status ReadStorage(TarMemberInput* in);
  absl::Status ReadViews(const PickleGraph& graph);
  absl::Status ReadView(const PickleGraph& graph, PickleRef view);
  absl::Status ReadTensors();
  absl::Status ReadTensor(TarMemberInput* in);
  absl::StatusOr<TensorExtent> ReadExtent(TarMemberInput* in) const;
  absl::Status TakeKey(int64_t key);
  absl::StatusOr<Stored*> FindStored(const PickleGraph& graph, PickleRef key);
  absl::Status CheckIds(const PickleGraph& graph) const;

  const ByteSource* source_;  // Must outlive this.
  const Limits* limits_;      // Must outlive this.
  std::vector<TarMember> all_members_;
  absl::flat_hash_map<absl::string_view, const TarMember*> members_;  // those of kMembers
  size_t other_members_ = 0;
  size_t whole_storages_ = 0;
  absl::flat_hash_map<int64_t, Stored> storages_;  // and views
  absl::flat_hash_map<int64_t, OutsideTensor> tensors_;
  absl::flat_hash_set<std::string> located_;
};

absl::Status TarFile::NotPyTorch() const {
  const std::string first = all_members_.empty() ? "empty"
                                                 : absl::StrCat("one of ", all_members_.size(),
                                                                " members, the first of which is ",
                                                                Printable(all_members_[0].name));
  return WrongFormatError("tar: archive is ", first,
                          ", want the members storages, tensors and pickle of torch.save; if it "
                          "holds a weight file, unpack it first");
}

absl::Status TarFile::FindMembers() {
  ASSIGN_OR_RETURN(all_members_, ReadTar(*source_, *limits_));
  for (const TarMember& member : all_members_) {
    const auto it = std::find(kMembers.begin(), kMembers.end(), member.name);
    if (it == kMembers.end()) {
      ++other_members_;
    } else if (!member.regular) {
      return UnsafeError("tar: member ", member.name, " is a folder, want a file");
    } else if (!members_.emplace(*it, &member).second) {
      return MalformedError("tar: there are two members ", member.name, ", want one");
    }
  }
  const bool torch =
      members_.contains("storages") && members_.contains("tensors") && members_.contains("pickle");
  return torch ? absl::OkStatus() : NotPyTorch();
}

absl::StatusOr<uint64_t> TarFile::ReadCount(TarMemberInput* in) const {
  ASSIGN_OR_RETURN(const PickleGraph graph, in->ReadSmallPickle());
  if (!graph.Is(graph.root(), PickleKind::kInt) || graph.integer(graph.root()) < 0) {
    return MalformedError("count is no number, want 0 or more");
  }
  const auto count = static_cast<uint64_t>(graph.integer(graph.root()));
  if (count <= limits_->entries_max) return count;
  return LimitError("count is ", count, ", want at most ", limits_->entries_max, " (entries_max)");
}

absl::Status TarFile::TakeKey(int64_t key) {
  if (!storages_.contains(key) && !tensors_.contains(key)) return absl::OkStatus();
  return MalformedError("key ", key, " is taken twice");
}

absl::StatusOr<TarFile::Stored*> TarFile::FindStored(const PickleGraph& graph, PickleRef key) {
  const std::optional<int64_t> number = KeyOf(graph, key);
  const auto it = number ? storages_.find(*number) : storages_.end();
  if (it != storages_.end()) return &it->second;
  return MalformedError("storage ", number ? absl::StrCat(*number) : "without a key",
                        " is not among the storages");
}

absl::Status TarFile::ReadStorage(TarMemberInput* in) {
  ASSIGN_OR_RETURN(const PickleGraph graph, in->ReadSmallPickle());
  const auto items = graph.items(graph.root());
  std::optional<int64_t> key;
  if (graph.Is(graph.root(), PickleKind::kTuple) && items.size() == 3) key = KeyOf(graph, items[0]);
  if (!key) return MalformedError("pickle is not (key, location, class)");
  RETURN_IF_ERROR(TakeKey(*key));
  Stored stored;
  stored.id.key = absl::StrCat(*key);
  RETURN_IF_ERROR(ParseStorageClass(graph, items[2], &stored.id));
  ASSIGN_OR_RETURN(const int64_t numel, in->ReadInteger(sizeof(int64_t)));
  uint64_t size = 0;
  if (numel < 0 || !CheckedMul(numel, stored.id.element_bytes, &size)) {
    return MalformedError("numel of storage ", *key, " is ", numel,
                          ", want 0 or more, and bytes that fit 64 bits");
  }
  stored.id.size_bytes = stored.id.view_bytes = size;
  stored.offset_bytes = in->position();
  RETURN_IF_ERROR(in->Skip(size), absl::StrCat("storage ", *key));
  storages_.emplace(*key, std::move(stored));
  return absl::OkStatus();
}

absl::Status TarFile::ReadView(const PickleGraph& graph, PickleRef view) {
  const auto items = graph.items(view);
  const bool tuple = graph.Is(view, PickleKind::kTuple) && items.size() == 4 &&
                     graph.Is(items[2], PickleKind::kInt) && graph.Is(items[3], PickleKind::kInt);
  const std::optional<int64_t> key = tuple ? KeyOf(graph, items[0]) : std::nullopt;
  if (!key) return MalformedError("view is not (key, storage, offset, numel)");
  RETURN_IF_ERROR(TakeKey(*key));
  ASSIGN_OR_RETURN(const Stored* root, FindStored(graph, items[1]));
  Stored stored = *root;
  PyTorchStorageId& id = stored.id;
  const int64_t offset = graph.integer(items[2]);
  const int64_t numel = graph.integer(items[3]);
  uint64_t begin = 0;
  uint64_t size = 0;
  const bool inside = offset >= 0 && numel >= 0 && CheckedMul(offset, id.element_bytes, &begin) &&
                      CheckedMul(numel, id.element_bytes, &size) &&
                      InRange(begin, size, root->id.view_bytes);
  if (!inside) {
    return MalformedError("view ", *key, " of ", numel, " elements at ", offset,
                          " ends behind its storage ", root->id.key);
  }
  id.view_offset_bytes += begin;
  id.view_bytes = size;
  id.view_key = absl::StrCat(*key);
  storages_.emplace(*key, std::move(stored));
  return absl::OkStatus();
}

absl::Status TarFile::ReadViews(const PickleGraph& graph) {
  if (!graph.Is(graph.root(), PickleKind::kList)) {
    return MalformedError("views are a value of type ", Printable(graph.TypeName(graph.root())),
                          ", want a list");
  }
  const auto views = graph.items(graph.root());
  if (views.size() > limits_->entries_max) {
    return LimitError("number of views is ", views.size(), ", want at most ", limits_->entries_max,
                      " (entries_max)");
  }
  for (const PickleRef view : views) RETURN_IF_ERROR(ReadView(graph, view));
  return absl::OkStatus();
}

absl::Status TarFile::ReadStorages() {
  TarMemberInput in = Input("storages");
  ASSIGN_OR_RETURN(const uint64_t count, ReadCount(&in));
  for (uint64_t i = 0; i < count; ++i) RETURN_IF_ERROR(ReadStorage(&in));
  whole_storages_ = storages_.size();
  ASSIGN_OR_RETURN(const PickleGraph views, in.ReadPickle());
  RETURN_IF_ERROR(ReadViews(views));
  return in.CheckEnd();
}

absl::StatusOr<TensorExtent> TarFile::ReadExtent(TarMemberInput* in) const {
  ASSIGN_OR_RETURN(const int64_t dims, in->ReadInteger(sizeof(int32_t)));
  if (dims < 0) return MalformedError("number of dims is ", dims, ", want 0 or more");
  if (static_cast<uint64_t>(dims) > limits_->dims_max) {
    return LimitError("number of dims is ", dims, ", want at most ", limits_->dims_max,
                      " (dims_max)");
  }
  RETURN_IF_ERROR(in->Skip(sizeof(int32_t)));
  TensorExtent extent;
  const auto read = [&](absl::string_view what) -> absl::StatusOr<uint64_t> {
    ASSIGN_OR_RETURN(const int64_t number, in->ReadInteger(sizeof(int64_t)));
    if (number >= 0) return static_cast<uint64_t>(number);
    return MalformedError(what, " is ", number, ", want 0 or more");
  };
  for (int64_t i = 0; i < dims; ++i) {
    ASSIGN_OR_RETURN(const uint64_t dim, read("size"));
    extent.dims.push_back(dim);
  }
  for (int64_t i = 0; i < dims; ++i) {
    ASSIGN_OR_RETURN(const uint64_t stride, read("stride"));
    extent.strides.push_back(stride);
  }
  ASSIGN_OR_RETURN(extent.offset, read("storage offset"));
  return extent;
}

absl::Status TarFile::ReadTensor(TarMemberInput* in) {
  ASSIGN_OR_RETURN(const PickleGraph graph, in->ReadSmallPickle());
  const auto items = graph.items(graph.root());
  std::optional<int64_t> key;
  if (graph.Is(graph.root(), PickleKind::kTuple) && items.size() == 3) key = KeyOf(graph, items[0]);
  if (!key) return MalformedError("pickle is not (key, storage, class)");
  RETURN_IF_ERROR(TakeKey(*key));
  const std::string where = absl::StrCat("tensor ", *key);
  ASSIGN_OR_RETURN(const Stored* stored, FindStored(graph, items[1]), where);
  OutsideTensor tensor;
  tensor.storage = stored->id;
  ASSIGN_OR_RETURN(tensor.extent, ReadExtent(in), where);
  tensors_.emplace(*key, std::move(tensor));
  return absl::OkStatus();
}

absl::Status TarFile::ReadTensors() {
  TarMemberInput in = Input("tensors");
  ASSIGN_OR_RETURN(const uint64_t count, ReadCount(&in));
  for (uint64_t i = 0; i < count; ++i) RETURN_IF_ERROR(ReadTensor(&in));
  return in.CheckEnd();
}

absl::Status TarFile::Open() {
  RETURN_IF_ERROR(FindMembers());
  if (members_.contains("sys_info")) {
    TarMemberInput in = Input("sys_info");
    RETURN_IF_ERROR(in.ReadSmallPickle().status(), "tar: member sys_info");
  }
  RETURN_IF_ERROR(ReadStorages(), "tar: member storages");
  return WithContext(ReadTensors(), "tar: member tensors");
}

// torch.load fails on an id that is not there; here nothing may be left out unseen.
absl::Status TarFile::CheckIds(const PickleGraph& graph) const {
  for (PickleRef ref = 1; ref < graph.size(); ++ref) {
    if (!graph.Is(ref, PickleKind::kPersistent)) continue;
    const std::optional<int64_t> key = KeyOf(graph, graph.persistent_id(ref));
    if (key && (storages_.contains(*key) || tensors_.contains(*key))) continue;
    return MalformedError("tar: persistent id is ", key ? absl::StrCat(*key) : "no number",
                          ", want the key of a tensor or a storage");
  }
  return absl::OkStatus();
}

absl::StatusOr<PickleGraph> TarFile::ReadObject() {
  TarMemberInput in = Input("pickle");
  ASSIGN_OR_RETURN(PickleGraph graph, in.ReadPickle(ClassIds::kTar), "tar: member pickle");
  RETURN_IF_ERROR(in.CheckEnd(), "tar: member pickle");
  RETURN_IF_ERROR(CheckIds(graph));
  return graph;
}

absl::StatusOr<SourceStorage> TarFile::Locate(const PyTorchStorageId& id) {
  int64_t key = 0;
  const auto it = absl::SimpleAtoi(id.key, &key) ? storages_.find(key) : storages_.end();
  if (it == storages_.end() || it->second.id.size_bytes != id.size_bytes) {
    return MalformedError("storage ", id.key, " of ", id.size_bytes,
                          " bytes is not among the storages");
  }
  located_.insert(id.key);
  SourceStorage storage;
  storage.name = id.key;
  storage.offset_bytes = it->second.offset_bytes;
  storage.stored_bytes = storage.size_bytes = id.size_bytes;
  return storage;
}

const OutsideTensor* TarFile::FindTensor(const PickleGraph& graph, PickleRef persistent) const {
  const std::optional<int64_t> key = KeyOf(graph, graph.persistent_id(persistent));
  const auto it = key ? tensors_.find(*key) : tensors_.end();
  return it == tensors_.end() ? nullptr : &it->second;
}

std::vector<std::string> TarFile::Warnings() const {
  std::vector<std::string> warnings;
  if (other_members_ > 0) {
    warnings.push_back(absl::StrCat(other_members_,
                                    " other members of the tar archive are not "
                                    "looked at"));
  }
  if (const size_t unused = whole_storages_ - located_.size(); unused > 0) {
    warnings.push_back(absl::StrCat(unused, " storages belong to no entry"));
  }
  return warnings;
}

}  // namespace

absl::StatusOr<SourceStateDict> ReadPyTorchTar(const ByteSource& source, const Limits& limits) {
  TarFile file(&source, &limits);
  RETURN_IF_ERROR(file.Open());
  ASSIGN_OR_RETURN(const PickleGraph graph, file.ReadObject());
  SourceStateDict dict;
  dict.format = Format::kPyTorchTar;
  dict.writer = "torch before 0.1.10";
  RETURN_IF_ERROR(ReadPickledObject(graph, limits, &file, &dict));
  for (std::string& warning : file.Warnings()) dict.warnings.push_back(std::move(warning));
  return dict;
}

}  // namespace ballast
