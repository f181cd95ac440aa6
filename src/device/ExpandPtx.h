#ifndef STROBE_DEVICE_EXPAND_PTX_H
#define STROBE_DEVICE_EXPAND_PTX_H

/** \file
 * Turns the PTX that Halide's code generator printed into PTX that ptxas accepts:
 * every call of a device intrinsic (Intrinsics.h) becomes the instruction it
 * stands for, named registers are declared at the entry of their kernel, tensor
 * maps become by-value parameters, and the target is raised to `architecture`.
 * Runs on text because Halide's code generator hands out text; the calls it
 * prints have one fixed shape. */

#include <map>
#include <string>
#include <vector>

namespace strobe::device {

struct EntryOptions {
    int threads = 0;                 // threads a block, exactly
    std::vector<int> tensor_maps;    // indices of the parameters that are tensor maps
    int blocks = 1;                  // that fit a multiprocessor at least, which limits the registers
};

struct PtxOptions {
    std::string architecture = "sm_90a";
    std::string ptx_version = "8.7";
    std::map<std::string, EntryOptions> entries;  // by kernel name
};

/** Throws InternalError on an unknown intrinsic or a call of another shape. */
std::string expand_ptx(const std::string &ptx, const PtxOptions &options);

/** The kernels of several texts of expand_ptx in one, whose names must differ. */
std::string merge_ptx(const std::vector<std::string> &texts);

}  // namespace strobe::device

#endif
