#ifndef STROBE_TESTS_RUNTIME_FIXTURE_H
#define STROBE_TESTS_RUNTIME_FIXTURE_H

/** \file
 * A package like those of the compiler, tensors that fit it, and the fake driver. */

#include <cmath>
#include <cstring>
#include <gtest/gtest.h>

#include "fake_cuda/FakeCuda.h"
#include "runtime/Arguments.h"
#include "runtime/Launch.h"
#include "support/Error.h"

/** The state of the fake driver that the runtime opened. */
FakeCuda &fake_cuda();

namespace strobe {

constexpr ElementType bf16{4, 16}, fp32{2, 32}, int32{0, 32};

/** query, key, value (bf16), out (bf16), lse (fp32); scalars scale (fp32) and window (int32, from 1);
 * one plan of one persistent kernel "attend" with tensor maps of query, key and value. */
KernelPackage sample_package();

/** A contiguous tensor at an address. */
TensorArgument tensor(ElementType type, std::vector<int64_t> sizes, uint64_t address);

/** Arguments of sample_package(), at addresses that no earlier test used: a thread keeps its tensor maps by address. */
std::vector<TensorArgument> sample_tensors(int queries = 1000, int keys = 500, int heads = 4, int batch = 2);
const std::vector<double> sample_scalars = {0.125, 256};

const auto sample_stream = reinterpret_cast<cuda::Stream>(uintptr_t(0x5000));

/** Each test begins with a fresh fake device that has the sample's kernels. */
class OnFakeCuda : public ::testing::Test {
protected:
    OnFakeCuda();
    ~OnFakeCuda() override;

    /** Launches on sample_stream. */
    int launch(LoadedPackage &loaded, const std::vector<TensorArgument> &tensors,
               const std::vector<double> &scalars = sample_scalars, const LaunchOptions &options = {},
               cuda::Stream stream = sample_stream);

    FakeCuda &fake;
};

/** Runs `statement`, which must throw `Error` with every one of the texts in its message. */
template<typename Error, typename Body>
void expect_error(const Body &statement, const std::vector<std::string> &texts) {
    try {
        statement();
        ADD_FAILURE() << "nothing was thrown; expected an error with \"" << texts.front() << "\"";
    } catch (const Error &e) {
        for (const std::string &text : texts) {
            EXPECT_NE(std::string(e.what()).find(text), std::string::npos)
                << "got \"" << e.what() << "\", expected it to contain \"" << text << "\"";
        }
    } catch (const std::exception &e) {
        ADD_FAILURE() << "an error of another class was thrown: " << e.what();
    }
}

}  // namespace strobe

#endif
