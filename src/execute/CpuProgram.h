#ifndef STROBE_EXECUTE_CPU_PROGRAM_H
#define STROBE_EXECUTE_CPU_PROGRAM_H

/** \file
 * An algorithm text compiled for the processor it runs on, in memory. */

#include "schedule/Schedule.h"
#include "text/AlgorithmText.h"

#include <functional>
#include <memory>

namespace strobe {

/** A tensor in host memory. Dimension 0 is the innermost; strides are in elements, any sign. */
struct HostTensor {
    void *data = nullptr;  // the element at coordinates 0
    int rank = 0;
    int64_t sizes[max_text_rank], strides[max_text_rank];

    HostTensor() = default;
    HostTensor(void *data, const std::vector<int64_t> &sizes, const std::vector<int64_t> &strides);
};

class CpuProgram {
    struct Code;
    std::unique_ptr<Code> code;

public:
    /** Compiles. Throws UserError. */
    explicit CpuProgram(const std::string &text, const Schedule &schedule = {});
    /** The same of what \p read gives; called once, where compilers take turns. */
    explicit CpuProgram(const std::function<TextAlgorithm()> &read, const Schedule &schedule = {});
    ~CpuProgram();
    CpuProgram(const CpuProgram &) = delete;
    CpuProgram &operator=(const CpuProgram &) = delete;

    const TextAlgorithm &algorithm() const;

    /** Runs on tensors that output_sizes() accepted, in the order of the text; types
     * are the caller's care. Nothing is copied. Throws UserError for what the compiled
     * code refuses. May be called from several threads at once. */
    void run(const std::vector<HostTensor> &tensors, const std::vector<double> &scalars,
             const std::vector<HostTensor> &outputs) const;
};

}  // namespace strobe

#endif
