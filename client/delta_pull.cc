#include "client/delta_pull.h"

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "client/block_delta.h"
#include "client/block_stream.h"
#include "client/laid_out_file.h"
#include "client/push_source.h"
#include "client/tensor_memory.h"
#include "storage/base/chunk.h"
#include "storage/base/crc32.h"
#include "storage/base/status.h"
#include "storage/formats/layout.h"
#include "storage/formats/weights_file.h"
#include "storage/model/reference.h"
#include "storage/schema/selection.h"

namespace ballast {
namespace {

// The blocks of a file, by their digests. Not thread-safe.
class HeldFile {
 public:
  // A file that is there and of no use (damaged, or no weights) has no blocks; `warnings` says so.
  static absl::StatusOr<std::unique_ptr<HeldFile>> Open(const std::string& path,
                                                        Operation* operation, const Limits& limits,
                                                        std::vector<std::string>* warnings);
  // The block's bytes; nullopt if the file lacks it, or is not what it was when it was hashed.
  std::optional<std::vector<Chunk>> Find(const WantedBlock& block);

 private:
  absl::Status Name(const std::string& path, Operation* operation, const Limits& limits);
  std::optional<std::vector<Chunk>> Read(const BlockPlace& place, uint64_t size_bytes);

  std::unique_ptr<PushSource> source_;
  std::unique_ptr<TensorSource> reader_;  // of source_
  absl::flat_hash_map<Digest, BlockPlace> places_;
};

// Whether it is the content of the file that is to blame, rather than a wrong name or a caller
// that has had enough.
bool IsOfNoUse(const absl::Status& why) {
  return absl::IsInvalidArgument(why) || absl::IsDataLoss(why) || absl::IsUnimplemented(why) ||
         (absl::IsResourceExhausted(why) && GetReason(why) == Reason::kLimit);
}

absl::StatusOr<std::unique_ptr<HeldFile>> HeldFile::Open(const std::string& path,
                                                         Operation* operation,
                                                         const Limits& limits,
                                                         std::vector<std::string>* warnings) {
  auto held = std::make_unique<HeldFile>();
  const absl::Status named = held->Name(path, operation, limits);
  if (named.ok()) return held;
  if (!IsOfNoUse(named)) return WithContext(named, "reading the weights that are here");
  warnings->push_back(
      absl::StrCat("the weights that are here are not used: ", Printable(named.message())));
  held->places_.clear();
  return held;
}

absl::Status HeldFile::Name(const std::string& path, Operation* operation, const Limits& limits) {
  ASSIGN_OR_RETURN(WeightsFile weights, OpenWeights(path, Format::kUnknown, limits));
  ASSIGN_OR_RETURN(source_, PushSourceOf(std::move(weights), {}, limits), Printable(path));
  ASSIGN_OR_RETURN(const Manifest manifest,
                   NameBlocks(*source_, operation, Progress::Phase::kHash), Printable(path));
  reader_ = source_->NewReader();
  for (const BlockPlace& place : DistinctBlocks(manifest)) {
    places_[manifest.entries[place.entry].blocks[place.index].digest] = place;
  }
  return absl::OkStatus();
}

std::optional<std::vector<Chunk>> HeldFile::Find(const WantedBlock& block) {
  const auto it = places_.find(block.ref.digest);
  if (it == places_.end()) return std::nullopt;
  std::optional<std::vector<Chunk>> chunks = Read(it->second, block.size_bytes);
  if (!chunks) return std::nullopt;
  uint32_t crc = 0;
  for (const Chunk& chunk : *chunks) crc = Crc32(chunk.bytes, crc);
  if (crc != block.ref.crc32) return std::nullopt;
  return chunks;
}

// What cannot be read any more is not had.
std::optional<std::vector<Chunk>> HeldFile::Read(const BlockPlace& place, uint64_t size_bytes) {
  const TensorSpec& spec = source_->facts().entries[place.entry].spec;
  if (BlockSize(CheckedTensorBytes(spec), place.index) != size_bytes) return std::nullopt;
  std::vector<Chunk> chunks;
  for (uint64_t done = 0; done < size_bytes;) {
    absl::StatusOr<Chunk> chunk =
        reader_->Read(place.entry, place.index * kBlockBytes + done, size_bytes - done);
    if (!chunk.ok()) return std::nullopt;
    done += chunk->bytes.size();
    chunks.push_back(*std::move(chunk));
  }
  return chunks;
}

// Tensors in the caller's memory, some of which may have what is wanted.
class HeldMemory {
 public:
  // `selected` must outlive this.
  HeldMemory(const Manifest* selected, std::vector<absl::Span<char>> memory)
      : selected_(*selected), memory_(std::move(memory)), blocks_(memory_.size()) {}

  // Memory has the tensors of `old` that have the same key, dtype and shape.
  void Holds(const Manifest& old);
  // A block that is there, and is what it should be, is copied to where it is not.
  bool Take(const WantedBlock& block);
  void Put(const WantedBlock& block, absl::string_view bytes);

 private:
  bool Has(const BlockPlace& place, const WantedBlock& block) const;
  absl::Span<char> At(const BlockPlace& place, const WantedBlock& block) const {
    return memory_[place.entry].subspan(place.index * kBlockBytes, block.size_bytes);
  }

  const Manifest& selected_;
  const std::vector<absl::Span<char>> memory_;  // by entry
  std::vector<std::vector<BlockRef>> blocks_;   // that it has; none: not known
};

void HeldMemory::Holds(const Manifest& old) {
  absl::flat_hash_map<absl::string_view, const ManifestEntry*> by_key;
  for (const ManifestEntry& entry : old.entries) by_key[entry.spec.key] = &entry;
  for (size_t i = 0; i < memory_.size(); ++i) {
    const TensorSpec& spec = selected_.entries[i].spec;
    const auto it = by_key.find(spec.key);
    if (it == by_key.end()) continue;
    const ManifestEntry& entry = *it->second;
    if (entry.spec.dtype == spec.dtype && entry.spec.shape == spec.shape) blocks_[i] = entry.blocks;
  }
}

bool HeldMemory::Has(const BlockPlace& place, const WantedBlock& block) const {
  const std::vector<BlockRef>& blocks = blocks_[place.entry];
  if (blocks.empty() || blocks[place.index].digest != block.ref.digest) return false;
  const absl::Span<char> bytes = At(place, block);
  return Crc32(absl::string_view(bytes.data(), bytes.size())) == block.ref.crc32;
}

bool HeldMemory::Take(const WantedBlock& block) {
  absl::Span<char> found;
  absl::InlinedVector<absl::Span<char>, 4> others;
  for (const BlockPlace& place : block.places) {
    if (Has(place, block)) {
      found = At(place, block);
    } else {
      others.push_back(At(place, block));
    }
  }
  if (found.empty()) return false;
  for (const absl::Span<char>& other : others) {
    std::memmove(other.data(), found.data(), found.size());
  }
  return true;
}

void HeldMemory::Put(const WantedBlock& block, absl::string_view bytes) {
  for (const BlockPlace& place : block.places) {
    std::memcpy(At(place, block).data(), bytes.data(), bytes.size());
  }
}

// What the caller's memory has, after the rules of the pull. nullopt: it is gone. Rules that
// leave nothing of it leave nothing that is had.
absl::StatusOr<std::optional<Manifest>> ManifestOf(Connection* connection, Operation* operation,
                                                   const VersionDescription& version,
                                                   const PullOptions& options) {
  absl::StatusOr<Manifest> manifest = PullManifest(connection, operation, version);
  if (absl::IsNotFound(manifest.status())) return std::nullopt;
  RETURN_IF_ERROR(manifest.status());
  std::vector<std::string> warnings;
  const absl::Status selected = SelectEntries(options.rules, options.with_optimizer,
                                              connection->limits(), &*manifest, &warnings);
  if (!selected.ok()) manifest->entries.clear();
  return *std::move(manifest);
}

}  // namespace

absl::Status CheckHave(const PullOptions& options, bool file, bool memory) {
  if (!options.have_file.empty() && !file) {
    return absl::InvalidArgumentError(
        absl::StrCat("have_file is ", Printable(options.have_file),
                     ", which is used for pulls to one file; want none"));
  }
  if (options.have_version.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Reference reference, ParseReference(options.have_version), "have_version");
  const bool exact = reference.selector == Reference::Selector::kVersion ||
                     reference.selector == Reference::Selector::kDigest;
  if (memory && exact) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("have_version is ", options.have_version,
                   memory ? ", which may be another version by now; want a number or a digest"
                          : ", which is used for pulls to memory; want none"));
}

absl::StatusOr<PullResult> DeltaToFile(Connection* connection, Operation* operation,
                                       const VersionDescription& version,
                                       const PullOptions& options, AtomicFile* file,
                                       Manifest* manifest) {
  const Limits& limits = connection->limits();
  ASSIGN_OR_RETURN(PulledManifest pulled, FetchManifest(connection, operation, version, options));
  PullResult result = ResultOf(version, pulled);
  result.format = options.format == Format::kUnknown
                      ? DefaultFormat(pulled.selected, options.plain_dict)
                      : options.format;
  LayoutInput input = LayoutInputOf(pulled.selected);
  input.plain_dict = options.plain_dict;
  ASSIGN_OR_RETURN(FileLayout layout, LayOut(result.format, input, limits), result.reference);
  result.bytes = layout.size_bytes;
  result.warnings.insert(result.warnings.end(), layout.warnings.begin(), layout.warnings.end());
  ASSIGN_OR_RETURN(const std::unique_ptr<HeldFile> held,
                   HeldFile::Open(options.have_file, operation, limits, &result.warnings));
  LaidOutFile out(file, std::move(layout), pulled.selected.entries.size());
  RETURN_IF_ERROR(out.WriteFrame());
  const auto put = [&](const WantedBlock& block, uint64_t done, absl::string_view bytes) {
    for (const BlockPlace& place : block.places) {
      RETURN_IF_ERROR(out.WriteTensor(place.entry, place.index * kBlockBytes + done, bytes));
    }
    return absl::OkStatus();
  };
  const auto take = [&](const WantedBlock& block) -> absl::StatusOr<bool> {
    const std::optional<std::vector<Chunk>> chunks = held->Find(block);
    if (!chunks) return false;
    uint64_t done = 0;
    for (const Chunk& chunk : *chunks) {
      RETURN_IF_ERROR(put(block, done, chunk.bytes));
      done += chunk.bytes.size();
    }
    return true;
  };
  RETURN_IF_ERROR(BlockDelta(connection, operation, &pulled)
                      .Run(
                          take,
                          [&](const WantedBlock& block, absl::string_view bytes) {
                            return put(block, 0, bytes);
                          },
                          &result));
  *manifest = std::move(pulled.selected);
  return result;
}

absl::StatusOr<PullResult> DeltaToMemory(Connection* connection, Operation* operation,
                                         const VersionDescription& version,
                                         const std::optional<VersionDescription>& have,
                                         const PullOptions& options,
                                         const TensorAllocator& allocate) {
  ASSIGN_OR_RETURN(const PulledManifest pulled,
                   FetchManifest(connection, operation, version, options));
  PullResult result = ResultOf(version, pulled);
  result.format = Format::kTensors;
  result.bytes = PayloadBytes(pulled.selected);
  std::optional<Manifest> old;
  if (have) {
    ASSIGN_OR_RETURN(old, ManifestOf(connection, operation, *have, options));
  }
  ASSIGN_OR_RETURN(std::vector<absl::Span<char>> spans, AllocateTensors(pulled.selected, allocate));
  HeldMemory memory(&pulled.selected, std::move(spans));
  if (old) {
    memory.Holds(*old);
  } else {
    result.warnings.push_back(absl::StrCat(
        options.have_version, " is gone: nothing is known of the memory, so everything comes"));
  }
  const auto take = [&](const WantedBlock& block) -> absl::StatusOr<bool> {
    return memory.Take(block);
  };
  const auto put = [&](const WantedBlock& block, absl::string_view bytes) {
    memory.Put(block, bytes);
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(BlockDelta(connection, operation, &pulled).Run(take, put, &result));
  return result;
}

}  // namespace ballast
