#ifndef STROBE_BENCHMARKS_DEVICE_H
#define STROBE_BENCHMARKS_DEVICE_H

/** \file
 * As much of a CUDA device as a benchmark needs, through the driver found at run time. */

#include <cstddef>
#include <functional>
#include <string>

namespace strobe {

/** The first device and its primary context. Every failure throws std::runtime_error
 * with the driver's text. */
class Device {
public:
    Device();
    ~Device();
    Device(const Device &) = delete;
    Device &operator=(const Device &) = delete;

    std::string name() const;

    /** Device memory; freed with the Device or by release_all. */
    void *allocate(size_t bytes);
    void upload(void *to, const void *from, size_t bytes);
    void release_all();

    /** Milliseconds between two events around \p launch, which works on the default
     * stream, after a write of more memory than the L2 cache holds. */
    double time_cold(const std::function<void()> &launch);

private:
    struct Driver;
    Driver *driver;
};

}  // namespace strobe

#endif
