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
                                          ByteStream* file, const ConversionParameters& options) {
  RETURN_IF_ERROR(services.authorizer->Authorize(principal, Action::kConvert, ""));
  if (!CanWrite(options.to) || options.to == Format::kTensors) {
    return MalformedError("convert: target format is \"", FormatName(options.to),
                          "\", want torchsharp, pytorch, pytorch-legacy or safetensors");
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<KeyRules> rules,
                   KeyRules::Compile(options.rules, services.limits));
  Conversion out;
  ASSIGN_OR_RETURN(out.source, SpoolAndRead(services, file, options.from));
  RETURN_IF_ERROR(ApplyRules(*rules, &out.source.dict));
  LayoutInput input = LayoutInputOf(out.source.dict);
  input.plain_dict = options.plain_dict;
  ASSIGN_OR_RETURN(out.layout, LayOut(options.to, input, services.limits), "convert");
  return out;
}

absl::Status WriteConversion(const Services& services, const Conversion& conversion,
                             ByteSink* sink) {
  const std::unique_ptr<TensorSource> tensors = MakeFileTensorSource(
      conversion.source.spool.get(), &conversion.source.dict, services.spool_dir, services.limits);
  return WriteLayout(conversion.layout, tensors.get(), sink);
}

}  // namespace ballast
