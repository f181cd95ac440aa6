# Finds the Halide SDK inside the wheel of the build tree's virtual environment
# (STROBE_HALIDE_ROOT). The wheel brings CMake packages of its own, but they ask
# for CMake 3.28 and Debian 12 has 3.25.
#
#   Halide::Halide     the compiler library
#   Halide::Runtime    HalideRuntime.h and HalideBuffer.h, no library
#   Halide::Generator  the main() of a generator program
#   Halide_TOOLS_DIR   RunGenMain.cpp and its like

set(_root "${STROBE_HALIDE_ROOT}")
find_path(Halide_INCLUDE_DIR Halide.h PATHS "${_root}/include" NO_DEFAULT_PATH)
find_library(Halide_LIBRARY Halide PATHS "${_root}/lib64" "${_root}/lib" NO_DEFAULT_PATH)
find_library(Halide_GENGEN_LIBRARY Halide_GenGen PATHS "${_root}/lib64" "${_root}/lib" NO_DEFAULT_PATH)
set(Halide_TOOLS_DIR "${_root}/share/tools")

if(Halide_INCLUDE_DIR)
  file(STRINGS "${Halide_INCLUDE_DIR}/HalideRuntime.h" _major REGEX "#define HALIDE_VERSION_MAJOR ")
  file(STRINGS "${Halide_INCLUDE_DIR}/HalideRuntime.h" _minor REGEX "#define HALIDE_VERSION_MINOR ")
  string(REGEX MATCH "[0-9]+" _major "${_major}")
  string(REGEX MATCH "[0-9]+" _minor "${_minor}")
  set(Halide_VERSION "${_major}.${_minor}")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Halide REQUIRED_VARS Halide_LIBRARY Halide_INCLUDE_DIR Halide_GENGEN_LIBRARY
                                         VERSION_VAR Halide_VERSION)

if(Halide_FOUND AND NOT TARGET Halide::Halide)
  add_library(Halide::Runtime INTERFACE IMPORTED)
  set_target_properties(Halide::Runtime PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${Halide_INCLUDE_DIR}")
  add_library(Halide::Halide SHARED IMPORTED)
  set_target_properties(Halide::Halide PROPERTIES IMPORTED_LOCATION "${Halide_LIBRARY}"
                                                  INTERFACE_INCLUDE_DIRECTORIES "${Halide_INCLUDE_DIR}"
                                                  INTERFACE_COMPILE_DEFINITIONS "HALIDE_ENABLE_RTTI;HALIDE_WITH_EXCEPTIONS")
  add_library(Halide::GenGen STATIC IMPORTED)
  set_target_properties(Halide::GenGen PROPERTIES IMPORTED_LOCATION "${Halide_GENGEN_LIBRARY}"
                                                  INTERFACE_LINK_LIBRARIES "Halide::Halide;${CMAKE_DL_LIBS}")
  add_library(Halide::Generator INTERFACE IMPORTED)
  set_target_properties(Halide::Generator PROPERTIES INTERFACE_LINK_LIBRARIES
                                                     "$<LINK_LIBRARY:WHOLE_ARCHIVE,Halide::GenGen>")
endif()
mark_as_advanced(Halide_INCLUDE_DIR Halide_LIBRARY Halide_GENGEN_LIBRARY)
