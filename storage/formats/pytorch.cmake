# The sources of the PyTorch reader and writer, for CMakeLists.txt beside this.
set(BALLAST_PYTORCH_SOURCES
  pickle_globals.cc pickle_input.cc pickle_machine.cc pickle_text.cc pickle_value.cc)
