# The sources of the PyTorch reader and writer, for CMakeLists.txt beside this.
set(BALLAST_PYTORCH_SOURCES
  pickle_atoms.cc pickle_globals.cc pickle_input.cc pickle_json.cc pickle_machine.cc
  pickle_objects.cc pickle_plain.cc pickle_repr.cc pickle_text.cc pickle_value.cc
  pickle_writer.cc pytorch_archive.cc pytorch_bare_pickle.cc
  pytorch_legacy.cc pytorch_legacy_writer.cc pytorch_module.cc pytorch_object.cc
  pytorch_pickle.cc pytorch_reader.cc pytorch_storage.cc
  pytorch_tar.cc pytorch_tensors.cc pytorch_unsupported.cc pytorch_views.cc pytorch_walk.cc
  pytorch_writer.cc tar_member_input.cc tar_reader.cc zip_directory.cc zip_layout.cc zip_reader.cc)
