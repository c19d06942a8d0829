#include <cstdlib>

#include "storage/formats/pytorch_tar.h"
#include "storage/formats/tar_reader.h"
#include "tests/formats/pytorch/legacy_testing.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/targets.h"

namespace ballast::fuzz {
namespace {

constexpr size_t kBlockBytesOfTar = 512;

// Puts the checksum of every header right, so that the rest of it is looked at.
std::string WithChecksums(std::string archive) {
  for (size_t at = 0; at + kBlockBytesOfTar <= archive.size();) {
    const std::string header = Summed(archive.substr(at, kBlockBytesOfTar));
    if (archive.find_first_not_of('\0', at) < at + kBlockBytesOfTar) {
      archive.replace(at, kBlockBytesOfTar, header);
    }
    const uint64_t size = std::strtoull(header.substr(124, 12).c_str(), nullptr, 8);
    if (size > archive.size()) break;
    at += kBlockBytesOfTar + (size + kBlockBytesOfTar - 1) / kBlockBytesOfTar * kBlockBytesOfTar;
  }
  return archive;
}

std::string OfMembers(Pieces* pieces) {
  std::vector<TarPart> parts;
  for (const char* name : {"sys_info", "pickle", "tensors", "storages"}) {
    parts.push_back({.name = name, .data = pieces->Text()});
  }
  return TarOf(parts);
}

void CheckMembers(const ByteSource& source) {
  const absl::StatusOr<std::vector<TarMember>> members = ReadTar(source, SmallLimits());
  if (!members.ok()) return CheckRefusal(members.status());
  uint64_t end = 0;
  for (const TarMember& member : *members) {
    Require(member.offset_bytes >= end + kBlockBytesOfTar, "members follow one another");
    end = member.offset_bytes + member.size_bytes;
    Require(end >= member.offset_bytes && end <= source.size_bytes(),
            "a member lies inside the archive", member.name);
  }
}

}  // namespace

void FuzzTar(absl::string_view input) {
  Pieces pieces(input);
  const uint8_t mode = pieces.Byte() % 3;
  std::string archive = mode == 2 ? OfMembers(&pieces) : std::string(pieces.Rest());
  if (mode == 1) archive = WithChecksums(std::move(archive));
  const StringSource source(archive);
  CheckMembers(source);
  CheckAnswer(source, ReadPyTorchTar(source, SmallLimits()));
}

}  // namespace ballast::fuzz
