# A virtual environment inside the build tree holds the Python packages, among
# them the Halide wheel, which is also the C++ SDK. A second configure finds it
# complete and installs nothing. Set STROBE_VENV to use an existing environment.

# A wheel is built with the Python that pip runs, which has what pyproject.toml asks for.
if(STROBE_WHEEL)
  find_package(Python3 3.10 REQUIRED COMPONENTS Interpreter)
  set(STROBE_PYTHON "${Python3_EXECUTABLE}")
  set(STROBE_TORCH ON)
  set(STROBE_PTXAS "" CACHE FILEPATH "ptxas is looked for when the package runs")
  execute_process(
    COMMAND "${STROBE_PYTHON}" -c
            "import importlib.util as u; print(u.find_spec('halide').submodule_search_locations[0])"
    OUTPUT_VARIABLE STROBE_HALIDE_ROOT OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  return()
endif()

set(STROBE_VENV "${CMAKE_BINARY_DIR}/venv" CACHE PATH "Virtual environment with requirements.txt installed")

find_package(Python3 3.10 REQUIRED COMPONENTS Interpreter)

option(STROBE_TORCH "Build and test the PyTorch extension; installs requirements-torch.txt" ON)

set(_files "${CMAKE_SOURCE_DIR}/requirements.txt")
if(STROBE_TORCH)
  list(APPEND _files "${CMAKE_SOURCE_DIR}/requirements-torch.txt")
endif()
set(_requirements "")
set(_pip_arguments "")
foreach(_file ${_files})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${_file}")
  file(READ "${_file}" _text)
  string(APPEND _requirements "${_text}")
  list(APPEND _pip_arguments -r "${_file}")
endforeach()
string(SHA256 _requirements_hash "${_requirements}")
set(_stamp "${STROBE_VENV}/strobe-requirements.sha256")
set(_installed "")
if(EXISTS "${_stamp}")
  file(READ "${_stamp}" _installed)
endif()

if(NOT _installed STREQUAL _requirements_hash)
  message(STATUS "Installing Python packages into ${STROBE_VENV}")
  if(NOT EXISTS "${STROBE_VENV}/bin/python")
    execute_process(COMMAND "${Python3_EXECUTABLE}" -m venv "${STROBE_VENV}" COMMAND_ERROR_IS_FATAL ANY)
  endif()
  execute_process(
    COMMAND "${STROBE_VENV}/bin/python" -m pip install --quiet --disable-pip-version-check
            ${_pip_arguments} COMMAND_ERROR_IS_FATAL ANY)
  file(WRITE "${_stamp}" "${_requirements_hash}")
endif()

set(STROBE_PYTHON "${STROBE_VENV}/bin/python")
execute_process(
  COMMAND "${STROBE_PYTHON}" -c
          "import importlib.util as u; print(u.find_spec('halide').submodule_search_locations[0])"
  OUTPUT_VARIABLE STROBE_HALIDE_ROOT OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
