"""Events kept on the device with picture and sound: their packets, clips, snapshots, and the store."""
