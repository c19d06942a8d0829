// Calls that take a file along: Convert and Inspect.

#include <utility>

#include "proto/wire.h"
#include "server/handlers/stream_io.h"
#include "server/use_cases/convert.h"
#include "server/use_cases/held_manifest.h"
#include "server/use_cases/store_tensor_source.h"
#include "storage/base/status.h"
#include "storage/formats/inspect.h"
#include "storage/model/reference.h"

namespace ballast {
namespace {

absl::StatusOr<ConversionParameters> OptionsOf(const v1::ConvertHeader& header) {
  ConversionParameters options;
  ASSIGN_OR_RETURN(options.from, wire::FormatFromWire(header.from()), "convert");
  ASSIGN_OR_RETURN(options.to, wire::FormatFromWire(header.to()), "convert");
  options.rules = wire::RulesFromProto(header.rules());
  options.plain_dict = header.plain_dict();
  return options;
}

absl::Status ServeConvert(const Services& services, Call* call, FrameStream* stream) {
  ASSIGN_OR_RETURN(const v1::ConvertRequest first, ReadMessage<v1::ConvertRequest>(stream));
  if (!first.has_header()) return MalformedError("convert: the first message is not a header");
  call->subject = first.header().to().substr(0, 40);
  ASSIGN_OR_RETURN(const ConversionParameters options, OptionsOf(first.header()));
  UploadStream file(stream, v1::ConvertRequest::kFileFieldNumber, &EndOf<v1::ConvertRequest>, call);
  ASSIGN_OR_RETURN(const Conversion conversion,
                   PlanConversion(services, call->principal, &file, options));
  v1::ConvertResponse response;
  v1::ConvertResponseHeader* header = response.mutable_header();
  header->set_from(std::string(FormatName(conversion.source.dict.format)));
  header->set_to(std::string(FormatName(conversion.layout.format)));
  header->set_size_bytes(conversion.layout.size_bytes);
  header->set_entries(conversion.source.dict.entries.size());
  for (const std::string& warning : conversion.source.dict.warnings) header->add_warnings(warning);
  for (const std::string& warning : conversion.layout.warnings) header->add_warnings(warning);
  RETURN_IF_ERROR(stream->Write(EncodeMessage(response)));
  DownloadSink sink(stream, v1::ConvertResponse::kDataFieldNumber, call);
  RETURN_IF_ERROR(WriteConversion(services, conversion, &sink));
  return sink.Flush();
}

absl::Status SendJson(absl::string_view json, FrameStream* stream) {
  return wire::ForEachTextPiece(json, [stream](absl::string_view piece) {
    v1::InspectResponse response;
    response.set_json(std::string(piece));
    return stream->Write(EncodeMessage(response));
  });
}

absl::StatusOr<std::string> InspectVersion(const Services& services, Call* call,
                                           const v1::InspectHeader& header) {
  ASSIGN_OR_RETURN(const Reference reference, ParseReference(header.reference()));
  RETURN_IF_ERROR(services.authorizer->Authorize(call->principal, Action::kRead, reference.model));
  ASSIGN_OR_RETURN(const VersionInfo version, services.catalog->GetVersion(reference));
  ASSIGN_OR_RETURN(const HeldManifest held, LoadManifest(services, version));
  StoreTensorSource tensors(services.blobs, &held.manifest);
  return InspectJson(held.manifest, header.digests() ? &tensors : nullptr);
}

absl::StatusOr<std::string> InspectUpload(const Services& services, Call* call,
                                          const v1::InspectHeader& header, FrameStream* stream) {
  RETURN_IF_ERROR(services.authorizer->Authorize(call->principal, Action::kConvert, ""));
  ASSIGN_OR_RETURN(const Format format, wire::FormatFromWire(header.format()), "inspect");
  UploadStream file(stream, v1::InspectRequest::kFileFieldNumber, &EndOf<v1::InspectRequest>, call);
  ASSIGN_OR_RETURN(const SpooledDict source, SpoolAndRead(services, &file, format));
  const std::unique_ptr<TensorSource> tensors =
      MakeFileTensorSource(source.spool.get(), &source.dict, services.spool_dir, services.limits);
  return InspectJson(source.dict, header.digests() ? tensors.get() : nullptr);
}

absl::Status ServeInspect(const Services& services, Call* call, FrameStream* stream) {
  ASSIGN_OR_RETURN(const v1::InspectRequest first, ReadMessage<v1::InspectRequest>(stream));
  if (!first.has_header()) return MalformedError("inspect: the first message is not a header");
  call->subject = first.header().reference().substr(0, 400);
  absl::StatusOr<std::string> json = first.header().reference().empty()
                                         ? InspectUpload(services, call, first.header(), stream)
                                         : InspectVersion(services, call, first.header());
  RETURN_IF_ERROR(json.status());
  return SendJson(*json, stream);
}

}  // namespace

void AddFileMethods(const Services& services, MethodTable* table) {
  (*table)["Convert"] = {
      [&services](Call* call, FrameStream* stream) { return ServeConvert(services, call, stream); },
      true};
  (*table)["Inspect"] = {
      [&services](Call* call, FrameStream* stream) { return ServeInspect(services, call, stream); },
      true};
}

}  // namespace ballast
