#ifndef STROBE_SUPPORT_STAGE_H
#define STROBE_SUPPORT_STAGE_H

/** \file
 * Where compile time goes. */

#include <chrono>
#include <string>
#include <vector>

namespace strobe {

struct StageTime {
    std::string name;
    double milliseconds = 0;
};

/** Measures a stage from construction to destruction, and logs it with STROBE_DEBUG=1.
 * Stages may nest, and run in several threads at once. */
class Stage {
    const std::string name;
    const std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();

public:
    explicit Stage(std::string name);
    ~Stage();
    Stage(const Stage &) = delete;
    Stage &operator=(const Stage &) = delete;
};

/** Keeps the times of all stages that end in its life, in any thread. One at a time. */
class StageReport {
public:
    StageReport();
    ~StageReport();
    StageReport(const StageReport &) = delete;
    StageReport &operator=(const StageReport &) = delete;

    /** Those that have ended, in that order. */
    std::vector<StageTime> times() const;
};

}  // namespace strobe

#endif
