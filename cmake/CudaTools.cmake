# Finds ptxas and nvdisasm: the CUDA Toolkit's if there is one, else those of pip
# packages in the virtual environment. Neither is required: without ptxas kernels
# are embedded as PTX and the driver assembles them when they are first launched.
#
#   STROBE_PTXAS, STROBE_NVDISASM   paths, or empty

set(_python_cuda "${STROBE_VENV}/lib/python${Python3_VERSION_MAJOR}.${Python3_VERSION_MINOR}/site-packages/nvidia/cu13/bin")

# strobe_cuda_tool(VARIABLE program package): package as it is pinned in requirements-cuda.txt.
function(strobe_cuda_tool VARIABLE PROGRAM PACKAGE)
  set(${VARIABLE} "" CACHE FILEPATH "${PROGRAM}, or empty to do without")
  if(EXISTS "${${VARIABLE}}")
    return()
  endif()
  find_program(_found ${PROGRAM} HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda "${_python_cuda}"
               PATH_SUFFIXES bin NO_CACHE)
  if(NOT _found AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|aarch64")
    file(STRINGS "${CMAKE_SOURCE_DIR}/requirements-cuda.txt" _line REGEX "^${PACKAGE}==")
    string(REGEX MATCH "^[^ #]+" _requirement "${_line}")
    message(STATUS "Installing ${_requirement} into ${STROBE_VENV}")
    execute_process(COMMAND "${STROBE_VENV}/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps
                            "${_requirement}" RESULT_VARIABLE _failed)
    find_program(_found ${PROGRAM} PATHS "${_python_cuda}" NO_DEFAULT_PATH NO_CACHE)
  endif()
  if(_found)
    set(${VARIABLE} "${_found}" CACHE FILEPATH "${PROGRAM}, or empty to do without" FORCE)
    message(STATUS "Found ${PROGRAM}: ${_found}")
  else()
    message(STATUS "No ${PROGRAM}")
  endif()
endfunction()

strobe_cuda_tool(STROBE_PTXAS ptxas nvidia-cuda-nvcc)
strobe_cuda_tool(STROBE_NVDISASM nvdisasm nvidia-cuda-nvdisasm)
