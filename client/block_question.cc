#include "client/block_question.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "ballast/v1/registry.pb.h"
#include "client/block_sender.h"
#include "storage/base/crc32.h"
#include "storage/base/limits.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

// Smaller pushes are hashed sooner than a question is answered.
constexpr uint64_t kWorthAskingBytes = 4u << 20;
// One block in so many is looked at before the question whether to ask.
constexpr size_t kSampleStep = 16;
constexpr size_t kSampleMax = 32;
constexpr size_t kAskedAtOnce = 200'000;  // 800 KiB

uint64_t SizeOf(const Manifest& manifest, const BlockPlace& place) {
  return BlockSize(CheckedTensorBytes(manifest.entries[place.entry].spec), place.index);
}

// Blocks that need no digest if the server lacks them.
std::vector<BlockPlace> AskedBlocks(const PushSource& source) {
  const Manifest& facts = source.facts();
  const std::vector<uint32_t> twins = TieRepresentatives(facts.entries.size(), facts.ties);
  std::vector<BlockPlace> out;
  for (uint32_t e = 0; e < twins.size(); ++e) {
    if (twins[e] != e || !source.Splittable(e)) continue;
    const uint64_t count = BlockCount(CheckedTensorBytes(facts.entries[e].spec));
    for (uint64_t b = 0; b < count; ++b) {
      if (SizeOf(facts, {e, b}) >= kCrcKnownBytes) out.push_back({e, b});
    }
  }
  return out;
}

absl::StatusOr<uint32_t> CrcOf(TensorSource* reader, const BlockPlace& place, uint64_t size_bytes) {
  uint32_t crc = 0;
  for (uint64_t done = 0; done < size_bytes;) {
    ASSIGN_OR_RETURN(const Chunk chunk, reader->Read(place.entry, place.index * kBlockBytes + done,
                                                     size_bytes - done));
    crc = Crc32(chunk.bytes, crc);
    done += chunk.bytes.size();
  }
  return crc;
}

class Question {
 public:
  Question(const std::string& model, const std::string& request_id, Connection* connection,
           Operation* operation)
      : model_(model), request_id_(request_id), connection_(connection), operation_(operation) {}

  // Whether the server may have blocks with these CRCs.
  absl::StatusOr<std::vector<bool>> Ask(absl::Span<const uint32_t> crcs) {
    std::vector<bool> may;
    for (size_t begin = 0; begin < crcs.size(); begin += kAskedAtOnce) {
      RETURN_IF_ERROR(AskSome(crcs.subspan(begin, kAskedAtOnce), &may));
    }
    return may;
  }
  bool answered() const { return answered_; }

 private:
  absl::Status AskSome(absl::Span<const uint32_t> crcs, std::vector<bool>* may) {
    v1::AskBlocksRequest request;
    request.set_model(model_);
    request.set_request_id(request_id_);
    request.mutable_crc32()->Add(crcs.begin(), crcs.end());
    const absl::Time end = absl::Now() + connection_->options().control_timeout;
    const std::unique_ptr<ClientCall> call = connection_->Open(
        "AskBlocks", operation_->cancel(), std::min(end, operation_->deadline()));
    if (call->Send(request).ok()) call->WritesDone().IgnoreError();
    const auto response = call->Receive<v1::AskBlocksResponse>();
    if (!response.ok()) return call->Explain(response.status());
    RETURN_IF_ERROR(call->Finish());
    answered_ = true;
    if (!response->has_value() || (*response)->first_size() != (*response)->count_size()) {
      return absl::InternalError("no answer");
    }
    const size_t before = may->size();
    may->resize(before + crcs.size());
    for (int i = 0; i < (*response)->first_size(); ++i) {
      const uint64_t first = (*response)->first(i);
      const uint64_t count = (*response)->count(i);
      if (first > crcs.size() || count > crcs.size() - first) {
        return absl::InternalError("an answer to what was not asked");
      }
      std::fill_n(may->begin() + static_cast<ptrdiff_t>(before + first), count, true);
    }
    return absl::OkStatus();
  }

  const std::string& model_;
  const std::string& request_id_;
  Connection* const connection_;
  Operation* const operation_;
  bool answered_ = false;
};

// Whether most of what is pushed is new, as far as a sample tells. Not if anything fails:
// hashing and pushing will say it better.
bool IsMostlyNew(const PushSource& source, const std::vector<BlockPlace>& blocks,
                 Question* question) {
  const size_t count = std::clamp<size_t>(blocks.size() / kSampleStep, 1, kSampleMax);
  const std::unique_ptr<TensorSource> reader = source.NewReader();
  std::vector<uint32_t> crcs;
  for (size_t i = 0; i < count; ++i) {
    const BlockPlace& place = blocks[i * blocks.size() / count];
    const auto crc = CrcOf(reader.get(), place, SizeOf(source.facts(), place));
    if (!crc.ok()) return false;
    crcs.push_back(*crc);
  }
  const auto may = question->Ask(crcs);
  return may.ok() && std::count(may->begin(), may->end(), true) * 4 <
                         static_cast<ptrdiff_t>(std::max<size_t>(count, 4));
}

// Blocks that the server may have, and those that may be there twice: these travel once.
std::set<std::pair<uint32_t, uint64_t>> ToHash(const Manifest& manifest,
                                               const std::vector<BlockPlace>& blocks,
                                               const std::vector<bool>& may) {
  std::map<uint32_t, uint64_t> times;  // of each CRC
  const auto crc = [&](const BlockPlace& place) {
    return manifest.entries[place.entry].blocks[place.index].crc32;
  };
  for (const BlockPlace& place : blocks) ++times[crc(place)];
  std::set<std::pair<uint32_t, uint64_t>> out;
  for (size_t i = 0; i < blocks.size(); ++i) {
    if (may[i] || times[crc(blocks[i])] > 1) out.emplace(blocks[i].entry, blocks[i].index);
  }
  return out;
}

absl::StatusOr<Manifest> ManifestToOffer(const PushSource& source, Operation* operation,
                                         Question* question) {
  const std::vector<BlockPlace> blocks = AskedBlocks(source);
  uint64_t bytes = 0;
  for (const BlockPlace& place : blocks) bytes += SizeOf(source.facts(), place);
  if (bytes < kWorthAskingBytes || !IsMostlyNew(source, blocks, question)) {
    return HashBlocks(source, operation, Progress::Phase::kHash);
  }
  ASSIGN_OR_RETURN(Manifest manifest, SumBlocks(source, operation, Progress::Phase::kHash));
  std::vector<uint32_t> crcs;
  for (const BlockPlace& place : blocks) {
    crcs.push_back(manifest.entries[place.entry].blocks[place.index].crc32);
  }
  absl::StatusOr<std::vector<bool>> may = question->Ask(crcs);
  if (!may.ok()) may = std::vector<bool>(blocks.size(), true);
  const std::set<std::pair<uint32_t, uint64_t>> chosen = ToHash(manifest, blocks, *may);
  if (chosen.empty()) return manifest;
  const auto is_chosen = [&](uint32_t entry, uint64_t block) {
    return chosen.contains({entry, block});
  };
  RETURN_IF_ERROR(HashChosen(source, operation, Progress::Phase::kHash, is_chosen, &manifest));
  return manifest;
}

}  // namespace

absl::StatusOr<Offer> MakeOffer(const PushSource& source, const std::string& model,
                                const std::string& request_id, Connection* connection,
                                Operation* operation) {
  Question question(model, request_id, connection, operation);
  ASSIGN_OR_RETURN(Manifest manifest, ManifestToOffer(source, operation, &question));
  return Offer{std::move(manifest), question.answered()};
}

}  // namespace ballast
