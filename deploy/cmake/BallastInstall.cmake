# What `cmake --install` puts in place: the two programs, and the client library as one
# shared object, so that a program that uses it links that and Abseil, nothing else.
# Headers go to include/ballast; they include each other as "ballast/…" and "storage/…",
# so both include/ and include/ballast/ are on the search path of those who link it.
include(CMakePackageConfigHelpers)

set(BALLAST_PUBLIC_ABSL inlined_vector span status statusor strings time)

# Every room below the client, as objects: a static archive would drop what the client
# does not call but the public headers declare.
add_library(ballast_client_shared SHARED)
foreach(room base model schema formats messages proto grpc_bridge client)
  target_sources(ballast_client_shared PRIVATE $<TARGET_OBJECTS:ballast_${room}>)
endforeach()
list(TRANSFORM BALLAST_PUBLIC_ABSL PREPEND absl:: OUTPUT_VARIABLE absl_targets)
target_link_libraries(ballast_client_shared PRIVATE ballast_client PUBLIC ${absl_targets})
target_include_directories(ballast_client_shared INTERFACE
  $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>
  $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/ballast>)
target_compile_features(ballast_client_shared INTERFACE cxx_std_17)
set_target_properties(ballast_client_shared PROPERTIES
  OUTPUT_NAME ballast-client EXPORT_NAME client
  VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)

install(TARGETS ballast_client_shared EXPORT BallastTargets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library NAMELINK_COMPONENT dev)
install(TARGETS ballast RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT client)
install(TARGETS ballastd RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT server)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/client/include/ballast/ COMPONENT dev
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/ballast FILES_MATCHING PATTERN "*.h")
foreach(room base model schema)
  install(DIRECTORY ${CMAKE_SOURCE_DIR}/storage/${room} COMPONENT dev
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/ballast/storage FILES_MATCHING PATTERN "*.h")
endforeach()
install(DIRECTORY ${CMAKE_SOURCE_DIR}/proto/ballast COMPONENT dev
  DESTINATION ${CMAKE_INSTALL_DATADIR}/ballast/proto FILES_MATCHING PATTERN "*.proto")

set(BALLAST_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/Ballast)
install(EXPORT BallastTargets NAMESPACE Ballast:: DESTINATION ${BALLAST_CMAKE_DIR} COMPONENT dev)
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/BallastConfig.cmake.in
  ${CMAKE_BINARY_DIR}/BallastConfig.cmake INSTALL_DESTINATION ${BALLAST_CMAKE_DIR})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/BallastConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/BallastConfig.cmake ${CMAKE_BINARY_DIR}/BallastConfigVersion.cmake
  DESTINATION ${BALLAST_CMAKE_DIR} COMPONENT dev)

# pkg-config finds the prefix from where the file lies, so an installed copy can be moved.
file(RELATIVE_PATH BALLAST_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
list(TRANSFORM BALLAST_PUBLIC_ABSL PREPEND absl_ OUTPUT_VARIABLE absl_packages)
list(JOIN absl_packages " " BALLAST_PC_REQUIRES)
configure_file(${CMAKE_CURRENT_LIST_DIR}/ballast-client.pc.in ${CMAKE_BINARY_DIR}/ballast-client.pc
  @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/ballast-client.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT dev)
