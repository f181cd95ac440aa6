# GPU kernel packages as build targets.
#
#   strobe_kernel_package(FILE algorithm setting...)   <build>/kernels/FILE.skp
#   kernels                                            the target that builds all of them
#
# Not part of `all`: GPU tests and benchmarks ask for them, and each takes a second.

add_custom_target(kernels)

function(strobe_kernel_package FILE ALGORITHM)
  set(output "${CMAKE_BINARY_DIR}/kernels/${FILE}.skp")
  add_custom_command(
    OUTPUT "${output}"
    COMMAND strobe_cli compile ${ALGORITHM} ${ARGN} --target cuda-sm_90a -o "${output}"
    DEPENDS strobe_cli
    COMMENT "Compiling ${FILE} for sm_90a" VERBATIM)
  add_custom_target(kernel_${FILE} DEPENDS "${output}")
  add_dependencies(kernels kernel_${FILE})
endfunction()

foreach(algorithm full causal alibi softcap sliding_window prefix_lm document_mask)
  foreach(dtype bf16 fp16)
    foreach(size 64 128)
      strobe_kernel_package(${algorithm}_${dtype}_d${size} ${algorithm} dtype=${dtype} head_dim=${size}
                            value_dim=${size})
    endforeach()
  endforeach()
endforeach()
