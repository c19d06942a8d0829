# Debian packages by CPack (`cpack` in the build folder): ballast-server, ballast-client,
# and the client library as libballast-client0.1 with ballast-dev. What belongs to a
# package only (unit, settings, documents) is left out of a plain `cmake --install`,
# because it has its place in the system whatever the prefix is.
set(BALLAST_MAINTAINER "Ballast developers <developers@ballast.invalid>" CACHE STRING
    "Maintainer of the Debian packages")
set(BALLAST_COMPONENTS server client library dev)
set(BALLAST_SERVER_PACKAGE ballast-server)
set(BALLAST_CLIENT_PACKAGE ballast-client)
set(BALLAST_LIBRARY_PACKAGE
    libballast-client${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
set(BALLAST_DEV_PACKAGE ballast-dev)

# Manual pages from --help, if help2man is there.
find_program(HELP2MAN help2man)
if(HELP2MAN AND NOT BALLAST_SANITIZE)
  function(ballast_manual target section title component)
    set(page ${CMAKE_BINARY_DIR}/man/${target}.${section})
    add_custom_command(OUTPUT ${page}.gz
      COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/man
      COMMAND ${HELP2MAN} --no-info --section=${section} --name=${title}
              --version-string=${PROJECT_VERSION} --output=${page} $<TARGET_FILE:${target}>
      COMMAND gzip -9nf ${page}
      DEPENDS ${target} VERBATIM)
    set_property(GLOBAL APPEND PROPERTY BALLAST_MANUALS ${page}.gz)
    install(FILES ${page}.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section} OPTIONAL
      COMPONENT ${component})
  endfunction()
  ballast_manual(ballastd 8 "registry for model weights" server)
  ballast_manual(ballast 1 "pushes model weights to a registry and pulls them" client)
  get_property(pages GLOBAL PROPERTY BALLAST_MANUALS)
  add_custom_target(manuals ALL DEPENDS ${pages})
endif()

install(FILES ${CMAKE_SOURCE_DIR}/deploy/systemd/ballastd.service
  DESTINATION /lib/systemd/system COMPONENT server EXCLUDE_FROM_ALL)
install(FILES ${CMAKE_SOURCE_DIR}/deploy/systemd/ballastd.ini
  DESTINATION /etc/ballast COMPONENT server EXCLUDE_FROM_ALL)

# The change log is the version, made at a fixed time: the same sources, the same package.
file(WRITE ${CMAKE_BINARY_DIR}/debian/changelog
"ballast (${PROJECT_VERSION}) stable; urgency=medium

  * Version ${PROJECT_VERSION}.

 -- ${BALLAST_MAINTAINER}  Wed, 25 Nov 2026 00:00:00 +0000
")
execute_process(COMMAND gzip -9nc ${CMAKE_BINARY_DIR}/debian/changelog
  OUTPUT_FILE ${CMAKE_BINARY_DIR}/debian/changelog.gz COMMAND_ERROR_IS_FATAL ANY)
file(WRITE ${CMAKE_BINARY_DIR}/debian/triggers "activate-noawait ldconfig\n")
foreach(component ${BALLAST_COMPONENTS})
  string(TOUPPER ${component} upper)
  install(FILES ${CMAKE_SOURCE_DIR}/deploy/debian/copyright
                ${CMAKE_BINARY_DIR}/debian/changelog.gz
    DESTINATION /usr/share/doc/${BALLAST_${upper}_PACKAGE}
    COMPONENT ${component} EXCLUDE_FROM_ALL)
  set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${BALLAST_${upper}_PACKAGE})
endforeach()

set(CPACK_GENERATOR DEB)
set(CPACK_SET_DESTDIR ON)  # some files have absolute places
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_COMPONENTS_ALL ${BALLAST_COMPONENTS})
set(CPACK_COMPONENTS_GROUPING ONE_PER_GROUP)
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_NAME ballast)
set(CPACK_PACKAGE_CONTACT ${BALLAST_MAINTAINER})
set(CPACK_RESOURCE_FILE_LICENSE ${CMAKE_SOURCE_DIR}/LICENSE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_MAINTAINER ${BALLAST_MAINTAINER})
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_SECTION science)

set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "registry for model weights")
set(CPACK_COMPONENT_SERVER_DESCRIPTION
"Keeps versioned state dicts (named tensors of machine-learning models) and
serves them in the formats of PyTorch, TorchSharp and safetensors. This
package holds the server and its systemd unit.")
set(CPACK_COMPONENT_CLIENT_DESCRIPTION
"Pushes model weights to a Ballast registry and pulls them by name and
version; converts and inspects files of PyTorch, TorchSharp and safetensors.
This package holds the command line.")
set(CPACK_COMPONENT_LIBRARY_DESCRIPTION
"Pushes model weights to a Ballast registry and pulls them, from C++ programs.
This package holds the client library.")
set(CPACK_COMPONENT_DEV_DESCRIPTION
"Headers, CMake package, pkg-config file and protocol definitions of the client
library of Ballast.")

set(CPACK_DEBIAN_SERVER_PACKAGE_CONTROL_EXTRA
  ${CMAKE_SOURCE_DIR}/deploy/debian/postinst ${CMAKE_SOURCE_DIR}/deploy/debian/prerm
  ${CMAKE_SOURCE_DIR}/deploy/debian/postrm ${CMAKE_SOURCE_DIR}/deploy/debian/conffiles)
set(CPACK_DEBIAN_SERVER_PACKAGE_SECTION net)
set(CPACK_DEBIAN_SERVER_PACKAGE_RECOMMENDS ballast-client)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA ${CMAKE_BINARY_DIR}/debian/triggers)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEV_PACKAGE_SHLIBDEPS OFF)
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS
  "${BALLAST_LIBRARY_PACKAGE} (= ${PROJECT_VERSION}), libabsl-dev")
include(CPack)
