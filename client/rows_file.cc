#include "client/rows_file.h"

#include <optional>
#include <utility>

#include "storage/base/crc32.h"
#include "storage/base/status.h"

namespace ballast {

absl::Status RowsFile::Begin(Format format, const TensorSpec& spec, bool plain_dict,
                             const Limits& limits) {
  LayoutInput input;
  input.tensors.push_back({spec, 0, std::nullopt});
  input.plain_dict = plain_dict;
  ASSIGN_OR_RETURN(layout_, LayOut(format, input, limits), "laying out the rows");
  tensor_bytes_ = CheckedTensorBytes(spec);
  // Without a byte of the tensor everything lies behind it.
  return tensor_bytes_ > 0 ? WriteLiterals() : absl::OkStatus();
}

absl::Status RowsFile::Write(absl::string_view bytes) {
  if (!layout_.crc_holes.empty()) crc32_ = Crc32(bytes, crc32_);
  return sink_->Write(bytes);
}

absl::Status RowsFile::Finish() {
  for (const CrcHole& hole : layout_.crc_holes) {
    for (size_t i = 0; i < 4; ++i) {
      layout_.literals[hole.literal_offset + i] = static_cast<char>(crc32_ >> (8 * i));
    }
  }
  if (tensor_bytes_ > 0) RETURN_IF_ERROR(reader_.Seek(reader_.position() + tensor_bytes_));
  return WriteLiterals();
}

// Up to the tensor, or the end.
absl::Status RowsFile::WriteLiterals() {
  while (reader_.extent() != nullptr && reader_.extent()->kind != Extent::Kind::kTensor) {
    ASSIGN_OR_RETURN(const Chunk chunk, reader_.Next(UINT64_MAX));
    RETURN_IF_ERROR(sink_->Write(chunk.bytes));
  }
  return absl::OkStatus();
}

}  // namespace ballast
