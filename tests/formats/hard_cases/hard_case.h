// A row of the catalogue of hard inputs as a test: a file from a small generator, and
// what must come of it. Rows are named as there; check_rows.py counts them.
#ifndef BALLAST_TESTS_FORMATS_HARD_CASES_HARD_CASE_H_
#define BALLAST_TESTS_FORMATS_HARD_CASES_HARD_CASE_H_

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/formats/formats_testing.h"

namespace ballast {

// Bytes with long runs of zeros in between that take no memory.
class SparseFile : public ByteSource {
 public:
  SparseFile& Bytes(std::string bytes) {
    pieces_.push_back({size_, std::move(bytes)});
    size_ += pieces_.back().bytes.size();
    return *this;
  }
  SparseFile& Zeros(uint64_t size) {
    size_ += size;
    return *this;
  }
  uint64_t size_bytes() const override { return size_; }
  absl::Status ReadAt(uint64_t offset, absl::Span<char> out) const override {
    if (offset > size_ || out.size() > size_ - offset) return TruncatedError("sparse file: range");
    std::fill(out.begin(), out.end(), '\0');
    for (const Piece& piece : pieces_) {
      const uint64_t begin = std::max(offset, piece.offset);
      const uint64_t end = std::min(offset + out.size(), piece.offset + piece.bytes.size());
      if (begin >= end) continue;
      std::memcpy(&out[begin - offset], &piece.bytes[begin - piece.offset], end - begin);
    }
    return absl::OkStatus();
  }

 private:
  struct Piece {
    uint64_t offset;
    std::string bytes;
  };
  std::vector<Piece> pieces_;
  uint64_t size_ = 0;
};

// A whole string, or a SparseFile.
class HardFile {
 public:
  HardFile(std::string bytes) : source_(std::make_shared<StringSource>(std::move(bytes))) {}
  HardFile(const char* bytes) : HardFile(std::string(bytes)) {}
  HardFile(SparseFile file) : source_(std::make_shared<SparseFile>(std::move(file))) {}
  const ByteSource& source() const { return *source_; }

 private:
  std::shared_ptr<const ByteSource> source_;
};

struct HardCase {
  std::string row;  // "B4", or "B4 in EOCD" where a row has several inputs
  HardFile file;
  Reason reason;     // kNone: it is read
  std::string part;  // of the message, or of Story
  Limits limits = {};
  Format format = Format::kUnknown;  // asked for
};

inline std::string EntryStory(const SourceEntry& entry, const absl::StatusOr<std::string>& bytes) {
  const std::string data =
      bytes.ok() ? absl::BytesToHexString(bytes->substr(0, 64)) : bytes.status().ToString();
  return absl::StrCat(entry.spec.key, " ", DTypeName(entry.spec.dtype), " ",
                      ShapeText(entry.spec.shape), " ", data);
}

// What is in a file, as one text: "format; key dtype shape bytes; …; warning: …; leaf: …".
// Tensors of more than 16 MiB are not read.
inline absl::StatusOr<std::string> Story(const ByteSource& file, Format format,
                                         const Limits& limits) {
  ASSIGN_OR_RETURN(const SourceStateDict dict, ReadStateDict(file, format, limits));
  auto source = MakeFileTensorSource(&file, &dict, ::testing::TempDir(), limits);
  std::vector<std::string> parts = {std::string(FormatName(dict.format))};
  bool whole = true;
  for (uint32_t i = 0; i < dict.entries.size(); ++i) {
    const uint64_t size = CheckedTensorBytes(dict.entries[i].spec);
    const bool big =
        dict.storages[dict.entries[i].storage].size_bytes > (16u << 20) || size > (16u << 20);
    whole = whole && !big;
    absl::StatusOr<std::string> bytes = std::string();
    if (!big) bytes = ReadEntry(source.get(), i, size);
    RETURN_IF_ERROR(bytes.status());
    if (parts.size() < 100) parts.push_back(EntryStory(dict.entries[i], bytes));
  }
  if (whole) RETURN_IF_ERROR(source->VerifyRest());
  for (const auto& warning : dict.warnings) parts.push_back("warning: " + warning);
  for (const SourceLeaf& leaf : dict.leaves) {
    parts.push_back(absl::StrCat("leaf: ", leaf.path, " ", leaf.type, " ", leaf.json));
  }
  for (const std::vector<uint32_t>& tie : dict.ties)
    parts.push_back(absl::StrCat("tie of ", tie.size()));
  return absl::StrJoin(parts, "; ");
}

// The code that always goes with a reason.
inline absl::StatusCode CodeOf(Reason reason) {
  switch (reason) {
    case Reason::kUnsupported:
      return absl::StatusCode::kUnimplemented;
    case Reason::kLimit:
      return absl::StatusCode::kResourceExhausted;
    case Reason::kAmbiguous:
      return absl::StatusCode::kFailedPrecondition;
    default:
      return absl::StatusCode::kInvalidArgument;
  }
}

inline void RunHardCases(const std::vector<HardCase>& rows) {
  for (const HardCase& row : rows) {
    const absl::StatusOr<std::string> story = Story(row.file.source(), row.format, row.limits);
    if (row.reason != Reason::kNone) {
      EXPECT_TRUE(FailsWith(story.status(), row.reason, row.part))
          << row.row << " is " << story.value_or("refused");
      EXPECT_EQ(story.status().code(), CodeOf(row.reason)) << row.row;
    } else if (!story.ok()) {
      ADD_FAILURE() << row.row << ": " << story.status() << ", want it read";
    } else {
      EXPECT_NE(story->find(row.part), std::string::npos)
          << row.row << " is\n  " << story->substr(0, 1000) << "\nwant\n  " << row.part;
    }
  }
}

}  // namespace ballast

#endif  // BALLAST_TESTS_FORMATS_HARD_CASES_HARD_CASE_H_
