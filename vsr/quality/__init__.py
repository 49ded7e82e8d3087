"""How good a film is beside a reference: picture, VMAF and temporal metrics, by paired frames."""
