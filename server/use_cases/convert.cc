#include "server/use_cases/convert.h"

#include <utility>

#include "server/use_cases/selection.h"
#include "storage/base/status.h"
#include "storage/formats/reader.h"
#include "storage/formats/tensor_source.h"

namespace ballast {

absl::StatusOr<SpooledDict> SpoolAndRead(const Services& services, ByteStream* file,
                                         Format format) {
  SpooledDict out;
  ASSIGN_OR_RETURN(out.spool, SpoolFile::Create(services.spool_dir, services.limits.spool_bytes_max,
                                                "limits.spool_bytes_max"));
  std::string buffer(kBlockBytes, '\0');
  while (true) {
    ASSIGN_OR_RETURN(const size_t n, file->Read(absl::MakeSpan(buffer)));
    if (n == 0) break;
    RETURN_IF_ERROR(out.spool->Write(absl::string_view(buffer).substr(0, n)));
  }
  ASSIGN_OR_RETURN(out.dict, ReadStateDict(*out.spool, format, services.limits));
  out.memory = std::make_unique<MemoryBudget::Share>(services.manifest_memory);
  uint64_t key_bytes = 0;
  for (const SourceEntry& entry : out.dict.entries) key_bytes += entry.spec.key.size();
  RETURN_IF_ERROR(out.memory->Grow(ManifestMemory(out.dict.entries.size(), key_bytes)));
  RETURN_IF_ERROR(VerifyStorages(*out.spool, out.dict, services.limits));
  return out;
}

absl::StatusOr<Conversion> PlanConversion(const Services& services, absl::string_view principal,
                                          ByteStream* file, Format from, Format to,
                                          const KeyRuleOptions& options) {
  RETURN_IF_ERROR(services.authorizer->Authorize(principal, Action::kConvert, ""));
  if (!CanWrite(to) || to == Format::kTensors) {
    return MalformedError("convert: target format is \"", FormatName(to),
                          "\", want torchsharp, pytorch or safetensors");
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<KeyRules> rules,
                   KeyRules::Compile(options, services.limits));
  Conversion out;
  ASSIGN_OR_RETURN(out.source, SpoolAndRead(services, file, from));
  RETURN_IF_ERROR(ApplyRules(*rules, &out.source.dict));
  ASSIGN_OR_RETURN(out.layout, LayOut(to, LayoutInputOf(out.source.dict), services.limits),
                   "convert");
  return out;
}

absl::Status WriteConversion(const Services& services, const Conversion& conversion,
                             ByteSink* sink) {
  const std::unique_ptr<TensorSource> tensors = MakeFileTensorSource(
      conversion.source.spool.get(), &conversion.source.dict, services.spool_dir, services.limits);
  return WriteLayout(conversion.layout, tensors.get(), sink);
}

}  // namespace ballast
