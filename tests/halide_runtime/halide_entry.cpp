#include "runtime/HalideBuffers.h"
#include "runtime/HalideEntry.h"

// A Halide runtime, as ahead-of-time code brings along.

namespace {

std::string reported;
void *const own_context = reinterpret_cast<void *>(uintptr_t(0x990));
void *const own_stream = reinterpret_cast<void *>(uintptr_t(0x5550));
int held = 0, context_code = 0, stream_code = 0;

}  // namespace

extern "C" {

void halide_error(void *, const char *text) {
    reported = text;
}
const halide_device_interface_t *halide_cuda_device_interface() {
    return strobe::recording_interface();
}
int halide_cuda_acquire_context(void *, void **context, bool) {
    held += context_code == 0;
    *context = own_context;
    return context_code;
}
int halide_cuda_release_context(void *) {
    held--;
    return 0;
}
int halide_cuda_get_stream(void *, void *context, void **stream) {
    EXPECT_EQ(context, own_context);
    *stream = own_stream;
    return stream_code;
}
}

namespace strobe {

namespace {

class AheadOfTime : public OnFakeCuda {
protected:
    AheadOfTime() {
        recorded_device() = {};
        reported.clear();
        context_code = stream_code = 0;
    }
    ~AheadOfTime() override {
        EXPECT_EQ(held, 0) << "a context was not released";
        cuda::Context current = nullptr;
        cuda::driver().ctx_get_current(&current);
        EXPECT_NE(static_cast<void *>(current), own_context) << "a context was left current";
    }
    int run(HalideBuffers &buffers, const std::vector<double> &scalars = sample_scalars) {
        static const std::vector<uint8_t> bytes = serialize_package(sample_package());
        return strobe_halide_run(nullptr, bytes.data(), int64_t(bytes.size()), buffers.pointers.data(),
                                 int(buffers.pointers.size()), scalars.data(), int(scalars.size()));
    }
};

TEST_F(AheadOfTime, UsesHalidesContextAndStream) {
    HalideBuffers buffers(sample_tensors());
    ASSERT_EQ(run(buffers), 0) << reported;
    ASSERT_EQ(fake.launch_count, 1);
    EXPECT_EQ(fake.launches[0].context, own_context);
    EXPECT_EQ(fake.launches[0].stream, own_stream);
    EXPECT_TRUE(buffers.buffers[3].device_dirty());
}

TEST_F(AheadOfTime, ReportsThroughHalide) {
    HalideBuffers buffers(sample_tensors());
    EXPECT_EQ(run(buffers, {0.125, 0}), halide_error_code_generic_error);
    EXPECT_EQ(reported, "Strobe: In sample: window is 0; legal are values from 1 up to 4096.");
}

TEST_F(AheadOfTime, PassesOnFailuresOfContextAndStream) {
    HalideBuffers buffers(sample_tensors());
    context_code = -7;
    EXPECT_EQ(run(buffers), -7);
    context_code = 0;
    stream_code = -9;
    EXPECT_EQ(run(buffers), -9);
    EXPECT_EQ(reported, "");
    EXPECT_EQ(fake.launch_count, 0);
}

}  // namespace

}  // namespace strobe
