// What code compiled ahead of time asks of the runtime, and what it checks before.

#include "gpu_causal.h"
#include "runtime/HalideBuffers.h"

using namespace strobe;

namespace {

std::string reported;
void *own_context = nullptr;  // another one in each test: the package is loaded anew
void *const own_stream = reinterpret_cast<void *>(uintptr_t(0x5550));

}  // namespace

// These stand in for what is weak in the compiled code's Halide runtime.
extern "C" {

void halide_error(void *, const char *text) {
    reported += text;
}
const halide_device_interface_t *halide_cuda_device_interface() {
    return recording_interface();
}
int halide_cuda_acquire_context(void *, void **context, bool) {
    *context = own_context;
    return 0;
}
int halide_cuda_release_context(void *) {
    return 0;
}
int halide_cuda_get_stream(void *, void *, void **stream) {
    *stream = own_stream;
    return 0;
}
}

namespace {

class AheadOfTimeCode : public OnFakeCuda {
protected:
    AheadOfTimeCode() {
        recorded_device() = {};
        reported.clear();
        fake.entries = {"strobe_out_0"};
        static uintptr_t number = 0x990;
        own_context = reinterpret_cast<void *>(number += 16);
    }
    int run(HalideBuffers &b, float scale = 0.125f) {
        return gpu_causal(b.pointers[0], b.pointers[1], b.pointers[2], scale, b.pointers[3], b.pointers[4]);
    }
};

/** Buffers that live on the device alone. */
HalideBuffers on_device(const std::vector<TensorArgument> &tensors) {
    HalideBuffers buffers(tensors);
    for (halide_buffer_t &b : buffers.buffers) {
        b.device = reinterpret_cast<uint64_t>(b.host);
        b.host = nullptr;
        b.flags = 0;
    }
    return buffers;
}

TEST_F(AheadOfTimeCode, LaunchesItsKernel) {
    HalideBuffers buffers(sample_tensors());
    ASSERT_EQ(run(buffers), 0) << reported;
    ASSERT_EQ(fake.launch_count, 1);
    EXPECT_EQ(fake.launches[0].entry, "strobe_out_0");
    EXPECT_EQ(fake.launches[0].context, own_context);
    EXPECT_EQ(fake.launches[0].stream, own_stream);
    EXPECT_TRUE(buffers.buffers[3].device_dirty());
    EXPECT_FALSE(buffers.buffers[0].device_dirty());
}

TEST_F(AheadOfTimeCode, EmbedsMachineCodeOrPtx) {
    HalideBuffers buffers(sample_tensors());
    ASSERT_EQ(run(buffers), 0) << reported;
    ASSERT_GE(fake.image.size(), 4u);
    const std::string head(fake.image.begin(), fake.image.begin() + 4);
    EXPECT_TRUE(head == "\x7f"
                        "ELF" ||
                head[0] == '/' || head[0] == '.')
        << head;
}

/** Nothing is compiled or loaded again for another batch, length, number of heads or stride. */
TEST_F(AheadOfTimeCode, OneKernelServesAllSizes) {
    int launches = 0;
    for (const auto &tensors : {sample_tensors(), sample_tensors(1, 1, 1, 1), sample_tensors(777, 4096, 3, 5),
                                sample_tensors(16384, 16384, 16, 1), sample_tensors(64, 3, 40, 70)}) {
        HalideBuffers buffers = on_device(tensors);
        ASSERT_EQ(run(buffers), 0) << reported;
        EXPECT_EQ(fake.launch_count, ++launches);
    }
    auto strided = sample_tensors(512, 512, 4, 2);
    for (TensorArgument &t : strided) {
        if (t.rank == 4) {  // features, then heads, rows and the batch
            t.strides[2] = t.sizes[0];
            t.strides[1] = t.sizes[0] * t.sizes[2];
        }
    }
    HalideBuffers buffers = on_device(strided);
    ASSERT_EQ(run(buffers), 0) << reported;
    EXPECT_EQ(fake.launch_count, ++launches);
    EXPECT_EQ(fake.modules, 1) << "the code is loaded once";
}

TEST_F(AheadOfTimeCode, TakesBuffersWithoutHostMemory) {
    HalideBuffers buffers = on_device(sample_tensors());
    ASSERT_EQ(run(buffers), 0) << reported;
    EXPECT_EQ(fake.launch_count, 1);
    EXPECT_TRUE(recorded_device().calls.empty()) << "nothing is to be copied";
}

TEST_F(AheadOfTimeCode, LeavesHostMemoryAlone) {
    HalideBuffers buffers(sample_tensors());
    for (halide_buffer_t &b : buffers.buffers) {
        b.set_host_dirty(false);
        b.set_device_dirty(false);
        b.device = reinterpret_cast<uint64_t>(b.host) + 0x100000000;
    }
    buffers.buffers[0].set_device_dirty(true);
    ASSERT_EQ(run(buffers), 0) << reported;
    EXPECT_TRUE(recorded_device().calls.empty());
    EXPECT_TRUE(buffers.buffers[0].device_dirty()) << "the input was not copied to the host";
}

TEST_F(AheadOfTimeCode, TakesTensorsOfTwoToThe31Elements) {
    // 64 x 65536 x 16 x 40 elements: 5 GB a tensor.
    HalideBuffers buffers = on_device(sample_tensors(65536, 65536, 16, 40));
    for (size_t i = 0; i < buffers.buffers.size(); i++) {
        buffers.buffers[i].device += uint64_t(i) << 40;
    }
    ASSERT_EQ(run(buffers), 0) << reported;
    EXPECT_EQ(fake.launch_count, 1);
}

TEST_F(AheadOfTimeCode, ChecksExtents) {
    auto tensors = sample_tensors();
    tensors[2].sizes[1] = 400;  // fewer values than keys
    HalideBuffers buffers(tensors);
    EXPECT_NE(run(buffers), 0);
    EXPECT_NE(reported.find("v"), std::string::npos) << reported;
    EXPECT_EQ(fake.launch_count, 0);
}

TEST_F(AheadOfTimeCode, ChecksScalars) {
    HalideBuffers buffers(sample_tensors());
    EXPECT_NE(run(buffers, -1.0f), 0);
    EXPECT_NE(reported.find("scale"), std::string::npos) << reported;
    EXPECT_EQ(fake.launch_count, 0);
}

TEST_F(AheadOfTimeCode, PassesOnTheDevicesFailures) {
    HalideBuffers buffers(sample_tensors());
    recorded_device().fail_with = halide_error_code_device_malloc_failed;
    EXPECT_EQ(run(buffers), halide_error_code_device_malloc_failed);
    EXPECT_EQ(fake.launch_count, 0);
}

TEST_F(AheadOfTimeCode, AnswersBoundsQueries) {
    HalideBuffers buffers(sample_tensors());
    buffers.buffers[0].host = nullptr;
    buffers.buffers[0].device = 0;
    buffers.dims[0][1].extent = 0;
    ASSERT_EQ(run(buffers), 0) << reported;
    EXPECT_EQ(buffers.dims[0][1].extent, 1000);
    EXPECT_EQ(fake.launch_count, 0);
}

}  // namespace
