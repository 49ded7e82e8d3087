"""GPUs of all makers by Vulkan, in the ncnn runtime."""
